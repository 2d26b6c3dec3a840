"""What cannot be asked, and what cannot be answered: one sentence, the right exit code, nothing written."""

from dataclasses import fields

import pytest
from django.db.models import Q, Sum

from integrity import Always, Derived, engine
from integrity.conf import Conf
from integrity.models import Change, Run
from integrity.registry import registry
from tests.command_line import NOWHERE, manage, process, python, url_of
from tests.integrity.helpers import contents, declared, execute, registered
from tests.players.factories import make_player
from tests.toy import models as toy

RULE = "players.mileage_adds_up"
RULES = {rule.label for rule in registry}
KNOWN = ", ".join(sorted(RULES))
KNOWN_OR_APPS = ", ".join(sorted(RULES | {rule.app for rule in registry}))
TAGS = ", ".join(sorted({tag for rule in registry for tag in rule.tags}))
STRATEGIES = (
    "delete_extra_metrics, delete_extra_metrics_oldest_first, recalculate_from_player,"
    " recalculate_from_player_oldest_first"
)
REPAIR = ("repair", RULE, "--strategy", "delete_extra_metrics")
UNKNOWN = {
    "rule": (("analyze", "players.nope"), f"Unknown rule or app 'players.nope'. Known: {KNOWN_OR_APPS}."),
    "app": (("rules", "nope"), f"Unknown rule or app 'nope'. Known: {KNOWN_OR_APPS}."),
    "rule to repair": (("repair", "players.nope"), f"Unknown rule 'players.nope'. Known: {KNOWN}."),
    "rule to accept": (("accept", "nope", "--key", "1"), f"Unknown rule 'nope'. Known: {KNOWN}."),
    "tag": (("analyze", "--tag", "nope"), f"Unknown tag 'nope'. Known: {TAGS}."),
    "strategy": (
        ("repair", RULE, "--strategy", "nope"),
        f"Unknown strategy for {RULE}: 'nope'. Known: {STRATEGIES}.",
    ),
    "no strategy": (("repair", RULE), f"{RULE} has several repairs; choose one with --strategy: {STRATEGIES}."),
    "run to verify": (("verify", "17"), "Unknown run '17'. Known: none."),
    "run to undo": (("undo", "17"), "Unknown run '17'. Known: none."),
    "database": (("analyze", "--database", "nope"), "Unknown database 'nope'. Known: default."),
    "key": (("analyze", RULE, "--key", "x"), "'x' is not a key of players.Player: id says “x” value must be an"),
    "keys of two models": (
        ("analyze", "players", "--key", "1"),
        "--key belongs to one model, and these rules are about players.Group, players.OpenSession, players.Player.",
    ),
    "brake": ((*REPAIR, "--max-affected", "lots", "--yes"), "--max-affected 'lots' is neither a share such as 30%"),
    "brake of more than all": ((*REPAIR, "--max-affected", "101%", "--yes"), "--max-affected '101%' is neither"),
    "brake without consent": (
        (*REPAIR, "--max-affected", "5000"),
        "--max-affected opens the brake: without a terminal to ask on, add --yes.",
    ),
}
UNREADABLE = {
    "verb": (("nope",), "invalid choice: 'nope' (choose from "),
    "no verb": ((), "the following arguments are required: VERB"),
    "format": (("analyze", "--format", "xml"), "argument --format: invalid choice: 'xml' (choose from "),
    "limit": (("analyze", "--limit", "0"), "argument --limit: '0' is not a whole number from 1 on"),
    "run": (("undo", "-1"), "argument RUN: '-1' is not a whole number from 1 on"),
    "run by name": (("verify", "last"), "argument RUN: 'last' is not a whole number from 1 on"),
    "rule to repair": (("repair",), "the following arguments are required: RULE"),
    "option": (("analyze", "--dry-run"), "unrecognized arguments: --dry-run"),
    "kind of run": (("runs", "--verb", "nope"), "argument --verb: invalid choice: 'nope'"),
}
of_unknown = pytest.mark.parametrize(("words", "sentence"), UNKNOWN.values(), ids=UNKNOWN)
of_unreadable = pytest.mark.parametrize(("words", "sentence"), UNREADABLE.values(), ids=UNREADABLE)


def integrity(*words):
    return manage("integrity", *words)


@pytest.fixture
def surplus(db):
    """Something that a repair would write."""
    return make_player(stored=7, rides=[4, 6])


@of_unknown
def test_what_is_unknown_is_named_with_what_is_known(words, sentence, surplus):
    done = integrity(*words)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith(sentence)


@of_unknown
def test_nothing_is_done_where_something_is_unknown(words, sentence, surplus):
    before = contents()
    integrity(*words)
    assert (contents(), Run.objects.count(), Change.objects.count()) == (before, 0, 0)


@pytest.mark.parametrize("words", [words for words, _ in UNKNOWN.values() if words[0] != "accept"])
def test_a_refusal_in_json_is_one_object(words, surplus):
    done = integrity(*words, "--format", "json")
    assert done.json == {
        "run": None,
        "verb": words[0],
        "status": "refused",
        "rules": [],
        "changes": 0,
        "error": done.err.rstrip("\n"),
    }


@of_unreadable
def test_what_cannot_be_read_is_named(words, sentence):
    done = integrity(*words)
    assert (done.code, done.out) == (2, "")
    assert f"error: {sentence}" in done.err.replace("argument VERB: ", "")


@pytest.mark.parametrize("form", [["--format", "json"], ["--format=json"]])
def test_what_cannot_be_read_is_one_object_too(form):
    done = integrity("analyze", "--limit", "0", *form)
    assert (done.code, done.json["verb"], done.json["status"]) == (2, "analyze", "refused")
    assert done.json["error"] == "argument --limit: '0' is not a whole number from 1 on"


@pytest.mark.django_db
def test_a_composite_key_that_lacks_a_part_says_how_to_write_it():
    rule = declared(Always, toy.Line, Q(quantity__gte=0))
    with registered(rule):
        done = integrity("analyze", rule.label, "--key", "order=1")
    assert (done.code, done.err) == (
        2,
        "A key of toy.Line has the fields order, number: write order=...,number=..., not 'order=1'.\n",
    )


@pytest.mark.django_db
def test_a_run_that_wrote_nothing_can_neither_be_verified_nor_undone():
    run = integrity("analyze", "--format", "json").json["run"]
    for verb, what in (("verify", "verify"), ("undo", "undo")):
        done = integrity(verb, run)
        assert (done.code, done.err) == (
            2,
            f"Run {run} (analyze) changed nothing; there is nothing to {what}.\n",
        )


def test_a_run_is_undone_once(surplus):
    run = integrity(*REPAIR, "--format", "json").json["run"]
    again = integrity("undo", run, "--format", "json").json["run"]
    done = integrity("undo", run)
    assert (done.code, done.err) == (
        2,
        f"Run {run} was undone by run {again}. To take that back: manage.py integrity undo {again}\n",
    )


# Wrong declarations and settings


@pytest.fixture
def wrong_rule():
    rule = declared(Derived, toy.Account, "nope", equals=Sum("entries__amount"))
    with registered(rule):
        yield rule


@pytest.mark.django_db
def test_a_wrong_declaration_exits_with_2_and_says_which(wrong_rule):
    done = integrity("analyze")
    assert (done.code, done.out, Run.objects.count()) == (2, "", 0)
    assert f"{wrong_rule.label}: 'nope'" in done.err


@pytest.mark.django_db
def test_a_wrong_declaration_is_one_object_for_programs(wrong_rule):
    done = integrity("analyze", "--format", "json")
    assert (done.code, done.json["status"]) == (2, "refused")
    assert done.json["error"] == "A declaration is wrong; stderr says which."


@pytest.mark.django_db
def test_a_setting_of_the_engine_that_does_not_exist_exits_with_2(settings):
    settings.INTEGRITY = {"BATCH": 1}
    done = integrity("analyze")
    assert done.code == 2
    known = ", ".join(sorted(setting.name for setting in fields(Conf)))
    assert done.err.strip() == f"Unknown setting INTEGRITY['BATCH']. Known: {known}."


@pytest.mark.django_db
def test_options_that_contradict_each_other_exit_with_2():
    done = integrity("--no-color", "--force-color", "analyze", "--format", "json")
    assert (done.code, done.json["status"]) == (2, "refused")
    assert "can't be used together" in done.err


def test_a_database_url_that_is_none_exits_with_2(db):
    done = process("integrity", "analyze", DATABASE_URL="garbage")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("DATABASE_URL=garbage is not a URL")


# Not checked


@pytest.mark.parametrize("words", [("analyze",), REPAIR], ids=["analyze", "repair"])
def test_a_database_that_is_down_exits_with_3_and_one_object(words, db):
    done = process("integrity", *words, "--format", "json", DATABASE_URL=NOWHERE)
    assert (done.code, done.json["status"], done.json["rules"]) == (3, "failed", [])
    assert done.json["verb"] == words[0]


def test_a_database_that_is_down_is_one_sentence_without_the_password(db):
    done = process("integrity", "analyze", DATABASE_URL=NOWHERE)
    assert (done.code, done.out, done.err.count("\n")) == (3, "", 1)
    assert done.err.startswith("The database 'shop' at 127.0.0.1 cannot be used: ")
    assert "Check DATABASE_URL and that the server runs." in done.err
    assert "s3cret" not in done.err


def test_rules_are_listed_without_a_database_and_their_states_are_unknown(db):
    done = process("integrity", "rules", "vehicles", "--format", "json", DATABASE_URL=NOWHERE)
    states = {rule["rule"]: rule["enforcement"] for rule in done.json["rules"]}
    assert (done.code, done.json["status"]) == (3, "partial")
    assert (states["vehicles.current_mileage"], states["vehicles.readings_grow"]) == ("unknown", None)
    assert done.err.startswith("What the database does for the rules is not known. The database 'shop' at 127.0.0.1")
    assert done.json["error"] == done.err.strip()


def test_a_database_that_was_never_migrated_says_how_to(db):
    done = process("integrity", "analyze", "--format", "json", DATABASE_URL=url_of("postgres"))
    assert (done.code, done.json["status"]) == (3, "failed")
    assert done.json["error"].endswith("Run: manage.py migrate")


@pytest.mark.django_db
def test_a_missing_column_fails_its_rule_and_leaves_the_others():
    execute("ALTER TABLE players_hourlymetric DROP COLUMN distance_km CASCADE")
    done = integrity("analyze", "players", "--format", "json")
    statuses = {rule["rule"]: rule["status"] for rule in done.json["rules"]}
    assert (done.code, done.json["status"]) == (3, "failed")
    assert [rule for rule, status in statuses.items() if status != "clean"] == [RULE]


@pytest.mark.django_db
def test_a_missing_column_is_named_with_the_way_out():
    execute("ALTER TABLE players_hourlymetric DROP COLUMN distance_km CASCADE")
    done = integrity("analyze", RULE)
    assert "players_hourlymetric.distance_km does not exist" in done.words
    assert "Run: manage.py migrate" in done.words


@pytest.mark.django_db
def test_a_missing_table_is_named_with_the_way_out():
    execute("DROP TABLE players_opensession CASCADE")
    done = integrity("analyze", RULE)
    assert done.code == 3
    assert f"{RULE} needs the table players_opensession, which is not there. Run: manage.py migrate" in done.words


@pytest.mark.django_db
def test_a_column_of_another_type_stops_a_repair_before_it_writes():
    execute("ALTER TABLE players_player ALTER COLUMN distance_total TYPE numeric(20, 8)")
    player = make_player(stored=7, rides=[4, 6])
    done = integrity(*REPAIR)
    assert (done.code, player.hourly_metrics.count()) == (3, 2)
    assert "is numeric(20,8) in the database" in done.words


@pytest.fixture
def crash(monkeypatch):
    def crashes(*_, **__):
        raise RuntimeError("the lamp went out")

    monkeypatch.setattr(engine, "analyze", crashes)


@pytest.mark.usefixtures("crash")
def test_a_crash_exits_with_3_and_shows_where():
    done = integrity("analyze")
    assert (done.code, done.out) == (3, "")
    assert done.err.startswith("Traceback")
    assert done.err.endswith("RuntimeError: the lamp went out\n")


@pytest.mark.usefixtures("crash")
def test_a_crash_is_one_object_for_programs():
    done = integrity("analyze", "--format", "json")
    assert (done.json["status"], done.json["error"]) == ("failed", "RuntimeError: the lamp went out")


# Django's own options


@pytest.mark.parametrize("words", [("--traceback", "analyze", "nope"), ("analyze", "nope", "--traceback")])
def test_traceback_shows_where_and_keeps_the_exit_code(words):
    done = integrity(*words)
    assert done.code == 2
    assert done.err.startswith("Traceback")


@pytest.mark.django_db
@pytest.mark.parametrize("options", [["--no-color"], ["-v", "0"], ["--skip-checks"], ["--verbosity=2"]])
def test_options_of_django_stand_before_or_behind_the_verb(options):
    assert (integrity(*options, "analyze").code, integrity("analyze", *options).code) == (0, 0)


@pytest.mark.parametrize("words", [("--settings=tests.settings", "rules"), ("rules", "--settings", "tests.settings")])
def test_settings_may_be_named_before_or_behind_the_verb(words, db):
    done = process("integrity", *words, "--format", "json")
    assert (done.code, {rule["rule"] for rule in done.json["rules"]}) == (0, RULES)


# Help


@pytest.mark.parametrize("verb", ["rules", "analyze", "repair", "verify", "undo", "runs", "accept"])
def test_help_of_every_verb_shows_an_example(verb):
    done = integrity(verb, "--help")
    assert done.code == 0
    assert f"Example: manage.py integrity {verb}" in done.words


@pytest.mark.django_db
@pytest.mark.parametrize("verb", ["analyze", "repair", "runs", "rules"])
def test_the_example_of_the_help_runs(verb, surplus):
    example = integrity(verb, "--help").words.partition("Example: manage.py ")[2].replace("17", str(surplus.pk))
    assert manage(*example.split()).code in (0, 1)


def test_help_of_the_command_tells_the_exit_codes():
    assert "0 clean, 1 violations or planned changes, 2 usage error, 3 not" in integrity("--help").words


def test_help_loads_nothing_that_prints_tables(db):
    done = python("-X", "importtime", "manage.py", "integrity", "analyze", "--help")
    loaded = {line.rpartition("|")[2].strip() for line in done.err.splitlines()}
    assert "integrity.registry" in loaded
    assert not {name for name in loaded if name.startswith(("rich", "structlog", "integrity.rendering"))}
