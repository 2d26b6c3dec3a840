"""manage.py integrity VERB: what each verb answers, in each format, with which exit code."""

import csv
import io
import re
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import F, Q, Sum

from integrity import Always, Derived
from integrity.models import Change, Run, Violation
from integrity.registry import registry
from players.models import HourlyMetric, Player
from tests.command_line import manage
from tests.integrity.helpers import contents, declared, registered
from tests.players.factories import make_group, make_player
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

RULE = "players.mileage_adds_up"
GROUPS = "players.group_total_adds_up"
DELETE = ("--strategy", "delete_extra_metrics")
CONTRACT = {"run", "verb", "status", "rules", "changes"}
RULE_CONTRACT = {"rule", "status", "checked", "violations", "seconds", "sample"}


def integrity(*words):
    return manage("integrity", *words)


def in_json(*words):
    done = integrity(*words, "--format", "json")
    return done.json


def in_csv(*words):
    return list(csv.DictReader(io.StringIO(integrity(*words, "--format", "csv").out)))


def make_surplus(km=3, **fields):
    """A player whose history says so much more than the master."""
    return make_player(stored=10 - km, rides=[4, 6], **fields)


def repaired():
    """The number of a run that has repaired a player."""
    make_surplus()
    return in_json("repair", RULE, *DELETE)["run"]


# Exit codes


def test_analyze_exits_with_0_when_everything_holds():
    make_player(rides=[4, 6], open=[2, 1])
    assert integrity("analyze").code == 0


def test_analyze_exits_with_1_when_something_is_violated():
    make_surplus()
    assert integrity("analyze").code == 1


def test_a_repair_that_cures_everything_exits_with_0():
    make_surplus()
    assert integrity("repair", RULE, *DELETE).code == 0
    assert integrity("analyze").code == 0


def test_a_repair_that_leaves_something_exits_with_1():
    make_player(stored=16, rides=[4, 6], open=[2, 1])
    done = integrity("repair", RULE, *DELETE)
    assert (done.code, HourlyMetric.objects.count()) == (1, 2)


def test_a_dry_run_exits_with_1_and_writes_nothing():
    make_surplus()
    before = contents()
    done = integrity("repair", RULE, *DELETE, "--dry-run")
    assert (done.code, contents(), Change.objects.count()) == (1, before, 0)


def test_a_dry_run_with_nothing_to_write_exits_with_0():
    make_player(rides=[4, 6])
    assert integrity("repair", RULE, *DELETE, "--dry-run").code == 0


def test_verify_exits_with_0_while_the_repair_holds():
    assert integrity("verify", repaired()).code == 0


def test_verify_exits_with_1_when_the_repaired_rows_are_wrong_again():
    run = repaired()
    Player.objects.update(distance_total=F("distance_total") + 1)
    assert integrity("verify", run).code == 1


def test_undo_exits_with_0_and_puts_every_row_back():
    make_surplus()
    before = contents()
    run = in_json("repair", RULE, *DELETE)["run"]
    assert (integrity("undo", run).code, contents()) == (0, before)


def test_undo_leaves_a_row_that_was_changed_since_and_exits_with_3():
    run = repaired()
    HourlyMetric.objects.update(distance_km=F("distance_km") + 1)
    done = integrity("undo", run)
    assert done.code == 3
    assert re.search(r"left players_hourlymetric id \d+ alone: ", done.out)


def test_a_dry_run_of_undo_exits_with_1_and_writes_nothing():
    run = repaired()
    before = contents()
    assert (integrity("undo", run, "--dry-run").code, contents()) == (1, before)


@pytest.mark.parametrize("verb", ["rules", "runs"])
def test_a_list_exits_with_0_whatever_is_wrong(verb):
    make_surplus()
    integrity("analyze")
    assert integrity(verb).code == 0


def test_a_repair_that_the_brake_stops_exits_with_3_and_writes_nothing():
    for _ in range(3):
        make_surplus()
    before = contents()
    done = integrity("repair", RULE, *DELETE, "--max-affected", "2", "--yes")
    assert (done.code, contents()) == (3, before)
    assert "3 rows of players_hourlymetric would be written and 2 rows may be" in done.words


# JSON


@pytest.mark.parametrize(
    "words",
    [("analyze",), ("analyze", RULE), ("repair", RULE, *DELETE), ("repair", RULE, *DELETE, "--dry-run")],
    ids=["everything", "one rule", "repair", "dry run"],
)
def test_json_is_one_object_with_the_keys_of_the_contract(words):
    make_surplus()
    answer = in_json(*words)
    assert answer.keys() >= CONTRACT
    assert all(rule.keys() >= RULE_CONTRACT for rule in answer["rules"])


@pytest.mark.parametrize("verb", ["verify", "undo"])
def test_what_looks_at_a_run_answers_with_the_same_keys(verb):
    answer = in_json(verb, repaired())
    assert answer.keys() >= CONTRACT
    assert answer["verb"] == verb


def test_a_violation_is_key_values_and_evidence_with_decimals_as_text():
    player = make_player(stored=16, rides=[4, 6], open=[2, 1])
    (found,) = in_json("analyze", RULE)["rules"][0]["sample"]
    assert found == {
        "key": {"id": player.pk},
        "actual": "16.00000",
        "expected": "11.00000",
        "evidence": {"history": "10.00000", "in_flight": "1.00000"},
    }


def test_the_status_is_that_of_the_worst_rule():
    make_group(total=3)
    answer = in_json("analyze", "players")
    assert (answer["status"], [rule["status"] for rule in answer["rules"]]) == (
        "violated",
        ["clean", "clean", "violated"],
    )


def test_counts_are_of_all_and_the_sample_is_limited():
    for _ in range(3):
        make_surplus()
    (rule,) = in_json("analyze", RULE, "--limit", 2)["rules"]
    assert (rule["checked"], rule["violations"], len(rule["sample"])) == (3, 3, 2)


def test_a_repair_tells_what_it_wrote():
    make_surplus(km=7)
    answer = in_json("repair", RULE, *DELETE)
    planned = [(change["op"], change["new"]) for change in answer["rules"][0]["planned"]]
    assert sorted(planned) == [("delete", {}), ("update", {"distance_km": "3.00000"})]
    assert answer["changes"] == 2


def test_runs_in_json_are_the_latest_first():
    run = repaired()
    assert [held["run"] for held in in_json("runs")["runs"]] == [run]
    integrity("undo", run)
    assert [held["verb"] for held in in_json("runs")["runs"]] == ["undo", "repair"]


def test_rules_in_json_tell_their_repairs():
    assert in_json("rules", GROUPS)["rules"][0]["repairs"] == ["recompute"]


def test_every_object_has_the_same_keys():
    player = make_surplus()
    keys = {"run", "verb", "status", "rules", "changes"}
    accept = ("accept", RULE, "--key", player.pk)
    asked = [("analyze",), ("rules",), ("runs",), (*accept, "--reason", "x"), (*accept, "--revoke")]
    answers = [in_json(*words) for words in asked]
    assert [keys - answer.keys() for answer in answers] == [set()] * 5
    assert [answer["verb"] for answer in answers] == ["analyze", "rules", "runs", "accept", "accept"]
    of_rule = {"rule", "status", "checked", "violations", "seconds", "sample"}
    assert all(of_rule <= rule.keys() for answer in answers for rule in answer["rules"])


def test_an_acceptance_in_json_says_what_was_accepted():
    player = make_surplus()
    integrity("analyze")
    words = ("accept", RULE, "--key", player.pk)
    (accepted,) = in_json(*words, "--reason", "device lost", "--until", "2999-01-31")["rules"]
    assert (accepted["status"], accepted["accepted_because"]) == ("accepted", "device lost")
    assert accepted["accepted_until"].startswith("2999-01-31T00:00:00")
    assert accepted["sample"][0]["key"] == {"id": player.pk}
    (revoked,) = in_json(*words, "--revoke")["rules"]
    assert (revoked["status"], revoked["accepted_because"]) == ("open", None)


# CSV


def test_csv_has_a_line_for_each_violation():
    players = [make_surplus(), make_surplus()]
    assert [(line["rule"], line["key"]) for line in in_csv("analyze")] == [
        (RULE, f'{{"id": {player.pk}}}') for player in players
    ]


def test_csv_of_a_clean_analysis_is_its_header():
    assert integrity("analyze", "--format", "csv").out == "rule,status,key,actual,expected,evidence\n"


def test_csv_of_a_repair_has_a_line_for_each_row():
    make_surplus(km=7)
    assert sorted(line["op"] for line in in_csv("repair", RULE, *DELETE)) == ["delete", "update"]


def test_csv_of_rules_and_runs_has_a_line_for_each():
    integrity("analyze")
    assert [line["rule"] for line in in_csv("rules", RULE, GROUPS)] == [RULE, GROUPS]
    assert [line["verb"] for line in in_csv("runs")] == ["analyze"]


# Tables


def test_a_piped_table_has_neither_colour_nor_bar():
    make_surplus()
    done = integrity("analyze")
    assert ("\x1b" in done.out, "━" in done.out, done.err) == (False, False, "")


def test_a_table_names_both_values_their_difference_and_the_way_out():
    make_surplus()
    said = integrity("analyze").words
    assert "7.00000 10.00000 +3.00000 10.00000" in said
    assert f"manage.py integrity repair {RULE} --strategy delete_extra_metrics --dry-run" in said


def test_a_table_says_what_a_dry_run_would_write_and_a_repair_wrote():
    make_surplus()
    assert "1 row would change; nothing was written." in integrity("repair", RULE, *DELETE, "--dry-run").words
    assert "Changed: 1 row. To take it back: manage.py integrity undo" in integrity("repair", RULE, *DELETE).words


def test_a_limited_table_says_how_many_more_there_are():
    for _ in range(3):
        make_surplus()
    assert "... and 2 more (--limit shows more of them)" in integrity("analyze", "--limit", 1).words


def test_the_first_list_of_runs_says_how_to_begin():
    assert integrity("runs").out == "No runs yet. To begin: manage.py integrity analyze\n"


def test_runs_may_be_of_one_verb():
    integrity("undo", repaired())
    assert [held["verb"] for held in in_json("runs", "--verb", "repair")["runs"]] == ["repair"]


def test_runs_show_who_and_why():
    make_surplus()
    integrity("repair", RULE, *DELETE, "--reason", "counted twice")
    assert "counted twice" in integrity("runs").out
    assert Run.objects.get().actor in integrity("runs").out


# Choosing


def test_an_app_stands_for_its_rules():
    assert {rule["rule"].partition(".")[0] for rule in in_json("analyze", "players")["rules"]} == {"players"}


def test_a_tag_chooses_rules():
    rule = declared(Always, toy.Club, Q(points__gte=0), tags=["points"])
    with registered(rule):
        assert [held["rule"] for held in in_json("analyze", "--tag", "points")["rules"]] == [rule.label]


def test_tags_add_up():
    rule = declared(Always, toy.Club, Q(points__gte=0), tags=["points"])
    with registered(rule):
        chosen = [held["rule"] for held in in_json("analyze", "--tag", "points", "--tag", "mileage")["rules"]]
    assert {rule.label, RULE, GROUPS} <= set(chosen)


def test_keys_limit_what_is_looked_at():
    first, _, third = make_surplus(), make_surplus(), make_surplus()
    (rule,) = in_json("analyze", RULE, "--key", first.pk, "--key", third.pk)["rules"]
    assert (rule["checked"], [found["key"]["id"] for found in rule["sample"]]) == (2, [first.pk, third.pk])


def test_keys_limit_what_is_repaired():
    first, second = make_surplus(), make_surplus()
    assert integrity("repair", RULE, *DELETE, "--key", second.pk).code == 0
    assert [found["key"]["id"] for found in in_json("analyze", RULE)["rules"][0]["sample"]] == [first.pk]


def test_a_composite_key_is_written_by_name():
    rule = declared(Always, toy.Line, Q(quantity__gte=0))
    toy.Line.objects.bulk_create(toy.Line(order="1", number=number, quantity=-1) for number in ("1", "2"))
    with registered(rule):
        (held,) = in_json("analyze", rule.label, "--key", "order=1,number=2")["rules"]
    assert [found["key"] for found in held["sample"]] == [{"order": "1", "number": "2"}]


def test_sql_is_a_statement_that_finds_the_same():
    player = make_surplus()
    (rule,) = in_json("analyze", RULE, "--sql")["rules"]
    with connection.cursor() as cursor:
        cursor.execute(rule["sql"])
        assert cursor.fetchall()[0][:3] == (player.pk, Decimal(7), Decimal(10))


def test_the_printed_sql_of_every_rule_runs_as_it_stands():
    found = in_json("analyze", "--sql")["rules"]
    assert [rule["rule"] for rule in found] == [rule.label for rule in registry]
    with connection.cursor() as cursor:
        for rule in found:
            if rule["status"] != "retired":
                cursor.execute(rule["sql"])


def test_a_table_prints_the_statement_below_the_name_of_its_rule():
    (statement,) = re.findall(rf"^-- {RULE}\n(SELECT .*;)$", integrity("analyze", RULE, "--sql").out, re.MULTILINE)
    with connection.cursor() as cursor:
        cursor.execute(statement)
        assert cursor.fetchall() == []


def test_printed_sql_holds_the_keys_it_was_asked_for():
    first, second = make_surplus(), make_surplus()
    (rule,) = in_json("analyze", RULE, "--sql", "--key", second.pk)["rules"]
    with connection.cursor() as cursor:
        cursor.execute(rule["sql"])
        assert [row[0] for row in cursor.fetchall()] == [second.pk] != [first.pk]


def test_several_rules_are_repaired_by_one_run_each_by_its_own_strategy():
    make_surplus(groups=[make_group(total=1)])
    answer = in_json("repair", GROUPS, RULE, *DELETE)
    assert {rule["rule"]: rule["strategy"] for rule in answer["rules"]} == {RULE: DELETE[1], GROUPS: "recompute"}
    assert (answer["status"], Run.objects.filter(verb="repair").count()) == ("clean", 1)


# Accepting


def test_an_accepted_exception_is_neither_counted_nor_repaired():
    player = make_surplus()
    integrity("analyze")
    assert integrity("accept", RULE, "--key", player.pk, "--reason", "device lost").code == 0
    before = contents(HourlyMetric)
    assert (integrity("analyze").code, integrity("repair", RULE, *DELETE).code) == (0, 0)
    assert contents(HourlyMetric) == before


def test_an_accepted_exception_says_until_when_it_holds():
    player = make_surplus()
    integrity("analyze")
    done = integrity("accept", RULE, "--key", player.pk, "--reason", "device lost", "--until", "2999-01-31")
    assert done.out == f"{RULE} at {player.pk} is accepted until 2999-01-31 00:00 UTC.\n"
    assert Violation.objects.get().accepted_because == "device lost"


def test_a_revoked_exception_counts_again():
    player = make_surplus()
    integrity("analyze")
    integrity("accept", RULE, "--key", player.pk, "--reason", "device lost")
    assert integrity("accept", RULE, "--key", player.pk, "--revoke").out == f"{RULE} at {player.pk} counts again.\n"
    assert integrity("analyze").code == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "An exception is accepted for a reason: give one."),
        (("--reason", "x", "--until", "2001-01-31"), "An exception cannot be accepted until 2001-01-31 00:00 UTC"),
        (("--reason", "x", "--until", "soon"), "'soon' is not a date such as 2030-01-31"),
        (("--revoke",), f"{RULE} has no accepted exception at id "),
    ],
    ids=["no reason", "the past", "no date", "not accepted"],
)
def test_an_exception_that_cannot_be_accepted_stays_open(words, sentence):
    player = make_surplus()
    integrity("analyze")
    done = integrity("accept", RULE, "--key", player.pk, *words)
    assert (done.code, Violation.objects.get().status) == (2, "open")
    assert sentence in done.words


def test_only_a_stored_violation_can_be_accepted():
    done = integrity("accept", RULE, "--key", 17, "--reason", "device lost")
    assert (done.code, Violation.objects.count()) == (2, 0)
    assert f"no stored violation at id 17. Run: manage.py integrity analyze {RULE}" in done.err


# A rule without a repair, and one that several rules meet


def test_a_rule_without_a_repair_is_left_to_a_person():
    toy.Club.objects.create(points=-1)
    rule = declared(Always, toy.Club, Q(points__gte=0))
    with registered(rule):
        done = integrity("repair", rule.label)
    assert (done.code, toy.Club.objects.get().points) == (2, -1)
    assert done.err.startswith(f"{rule.label} declares no repair: it is for a person to decide.")


def test_a_single_strategy_needs_no_name():
    group = make_group(total=3)
    assert integrity("repair", GROUPS).code == 0
    group.refresh_from_db()
    assert group.distance_total == 0


def test_values_of_several_columns_stand_by_name():
    rule = declared(Derived, toy.Account, equals={"balance": Sum("entries__amount"), "highest": Sum("entries__amount")})
    toy.Account.objects.create(balance=1, highest=2)
    with registered(rule):
        (found,) = in_json("analyze", rule.label)["rules"][0]["sample"]
    assert (found["actual"], found["expected"]) == (
        {"balance": "1.00", "highest": "2.00"},
        {"balance": "0", "highest": "0"},
    )
