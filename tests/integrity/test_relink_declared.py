"""Relink as it is declared: what is refused at start-up, steps of one's own, and what people and programs are shown."""

import csv
import io
import json
from typing import Any

import pytest

from integrity import Mapping, Named, Owned, References, Relink, Search, Shift, Step, Unique
from integrity.engine import preview
from integrity.models import Decision
from integrity.rendering.machine import to_csv, to_json
from integrity.rendering.report import print_report
from integrity.rendering.terminal import console
from integrity.repair import repair
from integrity.statement import Statement, compose
from integrity.undo import undo
from tests.integrity import teams
from tests.integrity.helpers import declared, registered
from tests.integrity.teams import links, make_key, make_message, make_person, make_poll, make_team, outcomes, relinked
from tests.toy import models as toys
from tests.toy import teams as toy

pytestmark = pytest.mark.django_db


def problems(*by, model=toy.Message, column="team_id", to=toy.Team, **options):
    rule = declared(References, model, column, to=to, repairs={"relink": Relink(by=by, **options)})
    return [(problem.msg, problem.hint) for problem in rule.check()]


# What is refused at start-up

TEXT = {toy.Message: "text"}
MEMBERS: dict[str, Any] = {"members": toy.Membership, "user": "person", "target": "team"}


@pytest.mark.parametrize(
    ("step", "told"),
    [
        (Mapping(toy.TeamKey, old="id_of_team", by=teams.BY_KEY), "toy.TeamKey has no field 'id_of_team'"),
        (Mapping(toy.TeamKey, old="team_id", by={"town": "town__title"}), "toy.Town has no field 'title'"),
        (Mapping(toy.TeamKey, old="team_id", by={"town_id": "town_id"}), "through the id 'town_id'"),
        (Mapping(toy.TeamKey, old="team_id", by={"town_id": "town"}), "through the id 'town'"),
        (Mapping(toy.TeamKey, old="team_id", by={"team_id": "pk"}), "through the id 'pk'"),
        (
            Mapping(toy.TeamKey, old="team_id", by={"series_row__name": "series__name"}),
            "'series_row__name' is no column",
        ),
        (Mapping(toy.TeamKey, old="team_id", by={}), "without a natural key"),
        (Named(TEXT, names=["series__title"]), "toy.Series has no field 'title'"),
        (Named(TEXT, names=["polls__question"]), "'polls__question' can lead to several rows"),
        (Named({toy.Message: "letter"}, names=["series__name"]), "toy.Message has no field 'letter'"),
        (Named({toy.Poll: "question"}, names=["series__name"]), "whose text names no column of toy.Message"),
        (Named(TEXT, names=[]), "without names"),
        (Owned({toy.Poll: "author"}, **MEMBERS), "whose owner names no column of toy.Message"),
        (Owned("captain", members=toy.Membership, user="player", target="team"), "has no field 'player'"),
        (Owned("captain", **MEMBERS, within="division"), "toy.Team has no field 'division'"),
        (Owned("captain", **MEMBERS, its={toy.Message: "text"}), "with its= and without within="),
        (Shift(at_least=1), "at_least=1"),
        (Shift(reach=-1), "reach=-1"),
    ],
)
def test_a_step_that_cannot_work_is_told_at_start_up(step, told):
    (found, *_) = problems(step)
    assert told in found[0]


def test_a_shift_of_ids_that_are_no_numbers_is_told_at_start_up():
    rule = declared(References, toys.Item, "box", repairs={"relink": Relink(by=[Shift()])})
    assert "the ids of toy.Box are not whole numbers" in rule.check()[0].msg


def test_a_relink_of_another_kind_is_told_at_start_up():
    rule = declared(Unique, toys.Club, by=["points"], repairs={"relink": Relink(by=[Shift()])})
    assert "only a References rule has references for" in rule.check()[0].msg


def test_a_relink_of_several_columns_is_told_at_start_up():
    options = {"to": toys.Line, "on": ["order", "number"], "repairs": {"relink": Relink(by=[Shift()])}}
    rule = declared(References, toys.Shipment, ["order", "number"], **options)
    assert "the id of one model in one column" in rule.check()[0].msg


def test_a_relink_without_steps_is_told_at_start_up():
    assert "with 0 steps" in problems()[0][0]


def test_two_steps_of_one_name_are_told_at_start_up():
    names = [Named(TEXT, names=["series__name"]), Named(TEXT, names=["town__name"])]
    assert "has two steps named 'named'" in problems(*names)[0][0]
    names[1].label = "town"
    assert problems(*names) == []


def test_a_relink_shared_by_references_to_different_models_is_told_at_start_up():
    relink = Relink(by=[Shift()])
    other = declared(References, toys.Club, "points", to=toys.Account, name="other", repairs={"relink": relink})
    with registered(other):
        rule = declared(References, toy.Message, "team_id", to=toy.Team, repairs={"relink": relink})
        assert "is shared with toy.other, which refers to other rows" in rule.check()[0].msg


def test_a_model_without_a_column_may_say_so():
    assert problems(Named({toy.Message: None}, names=["series__name"])) == []


def test_two_references_of_one_model_may_have_columns_of_their_own():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    key = toy.TeamKey.objects.create(team_id=10, town_id=20, series="Series 2B", league="Series 22")
    text = {(toy.TeamKey, "team_id"): "series", (toy.TeamKey, "town_id"): "league"}
    relink = Relink(by=[Named(text, names=["series__name"])])
    rules = [
        declared(References, toy.TeamKey, column, to=toy.Team, repairs={"relink": relink})
        for column in ("team_id", "town_id")
    ]
    assert [rule.check() for rule in rules] == [[], []]
    with registered(*rules):
        repair([(rule, "relink") for rule in rules])
    key.refresh_from_db()
    assert (key.team_id, key.town_id) == (1, 2)


# Steps of one's own


class Levelled(Step):
    """Ids were given by level."""

    def ballots(self, search: Search) -> Statement:
        return compose(
            "SELECT i.old, array_agg(t.target ORDER BY t.target) AS candidates, 1::bigint AS witnesses,"
            " 'of that level' AS says FROM {ids} AS i JOIN ({targets}) AS t ON t.level = i.old %% 10 GROUP BY i.old",
            ids=search.ids,
            targets=search.targets(level="level"),
        )


def test_a_step_of_ones_own_takes_part():
    for id_, level in ((1, 4), (2, 5), (3, 5)):
        toy.Team.objects.filter(pk=make_team(id_, f"Series {id_}").pk).update(level=level)
    message, other = make_message(104), make_message(105)
    report = relinked(Levelled())
    assert (links(message, other), outcomes(report)) == ([1, 105], {"relinked by levelled": 1, "ambiguous": 1})


# Through the ordinary verbs


def test_some_keys_are_answered_from_the_evidence_of_all():
    make_team(1, "Series 2B")
    named, quiet = make_message(10, "Series 2B"), make_message(10)
    with teams.known() as rules:
        report = repair([(rules[1], "relink")], keys=[(quiet.pk,)])
    assert (report.changes, links(named, quiet)) == (1, [10, 1])


def test_what_an_earlier_run_relinked_is_evidence_for_the_rest():
    make_team(1, "Series 2B")
    named, _ = make_message(10, "Series 2B"), make_message(10)
    with teams.known() as rules:
        run = repair([(rules[1], "relink")], keys=[(named.pk,)]).run
    report = relinked(dry_run=True)
    assert report.rules[1].planned[0].evidence["why"] == f"earlier: relinked so by run {run}"
    undo(run)
    assert relinked(dry_run=True).rules[1].planned[0].evidence["why"].startswith("named")


def test_what_is_known_from_an_earlier_run_too_is_counted_under_its_step():
    make_team(1, "Series 2B")
    messages = [make_message(10, "Series 2B") for _ in range(2)]
    with teams.known() as rules:
        repair([(rules[1], "relink")], keys=[(messages[0].pk,)])
    assert outcomes(relinked()) == {"relinked by named": 1}


def test_a_text_that_says_otherwise_by_now_contradicts_an_earlier_run():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    named, _ = make_message(10, "Series 2B"), make_message(10, "Series 2B")
    with teams.known() as rules:
        repair([(rules[1], "relink")], keys=[(named.pk,)])
    toy.Message.objects.filter(team_id=10).update(text="Series 22")
    assert outcomes(relinked()) == {"contradicted": 1}


def test_batches_do_not_change_the_answers(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 1, "WINDOW_KEYS": 2}
    for i in range(1, 6):
        make_team(100 + i, f"Series {i}"), make_message(i, f"Series {i}" if i != 3 else None)
    relinked(teams.named(), Shift(at_least=4))
    assert list(toy.Message.objects.order_by("id").values_list("team_id", flat=True)) == [101, 102, 103, 104, 105]


def test_a_preview_plans_without_a_run():
    make_team(1, "Series 2B")
    message = make_message(10, "Series 2B")
    with teams.known() as rules:
        (planned,) = preview(rules[1], "relink", [(message.pk,)], limit=1)
    assert (planned.new, Decision.objects.count()) == ({"team_id": 1}, 0)


def test_a_target_that_went_since_is_not_linked_to(monkeypatch):
    make_team(1, "Series 2B")
    message = make_message(10, "Series 2B")
    with teams.known() as rules:
        relink = rules[1].repairs["relink"][0]
        decided = relink.prepared

        def then_gone(rule, run):
            prepared = decided(rule, run)
            toy.Team.objects.all()._raw_delete("default")
            make_team(2, "Series 9")
            return prepared

        monkeypatch.setattr(relink, "prepared", then_gone)
        report = repair([(rules[1], "relink")])
    assert (report.status, links(message)) == ("violated", [10])


def test_ids_may_be_text():
    toys.Region.objects.create(code="north", sales=1)
    rule = declared(References, toy.Town, "name", to=toys.Region, on=["code"])
    lost = toy.Town.objects.create(name="nrth, the North")
    rule.repairs["relink"] = (Relink(by=[Named("name", names=["code"])]),)
    assert rule.check() == []
    with registered(rule):
        repair([(rule, "relink")])
    lost.refresh_from_db()
    assert lost.name == "north"


def test_ids_may_be_uuids():
    box = toys.Box.objects.create(weight=7)
    lost = toys.Item.objects.create(box_id="00000000-0000-4000-8000-000000000001", weight=7)
    rule = declared(References, toys.Item, "box", repairs={"relink": Relink(by=[Named("weight", names=["weight"])])})
    with registered(rule):
        relink = rule.repairs["relink"][0]
        assert relink.verdicts(rule, "default")[0].outcome == "no candidate"
        relink.by = (Weighed(),)
        repair([(rule, "relink")])
    lost.refresh_from_db()
    assert lost.box_id == box.pk


class Weighed(Step):
    """What weighs the same."""

    def ballots(self, search):
        return compose(
            "SELECT w.old, array_agg(t.target) AS candidates, 1::bigint AS witnesses, 'weighs the same' AS says"
            " FROM ({rows}) AS w JOIN ({targets}) AS t ON t.weight = w.weight GROUP BY w.old",
            rows=search.witnesses({"weight": "weight"}),
            targets=search.targets(weight="weight"),
        )


@pytest.mark.parametrize("old", [2**31 - 1, -(2**31)])
def test_an_id_at_the_end_of_its_type_stops_nothing(old):
    make_team(1, "Series 2B")
    teams.make_moved(931, 87100, 87120, 87150, 87200, 87250)
    make_message(old), make_message(10, "Series 2B")
    assert outcomes(relinked()) == {"relinked by named": 1, "no candidate": 1}


# What is shown


@pytest.fixture
def report():
    make_team(1, "Series 2B"), make_team(2, "Series 22")
    make_key(30, "Series 22")
    make_poll(10, "Series 2B, who plays?")
    make_poll(20, "Series 22 or Series 2B?")
    make_poll(30, "Series 2B?", make_person())
    with teams.known() as rules:
        yield repair([(rule, "relink") for rule in rules], dry_run=True)


def test_json_has_what_was_left_with_its_candidates(report):
    (polls, messages) = json.loads(to_json(report))["rules"]
    assert polls["undecided"][0] == {
        "value": 20,
        "outcome": "ambiguous",
        "rows": 1,
        "why": "named: 'Series 22' and 'Series 2B' named in 1 row",
        "candidates": [{"id": 1, "for": {"named": 1}, "against": {}}, {"id": 2, "for": {"named": 1}, "against": {}}],
    }
    assert polls["outcomes"] == {"relinked by named": 1, "ambiguous": 1, "contradicted": 1}
    assert messages["undecided"] == []


def test_csv_has_a_line_for_each_change_and_each_value_that_was_left(report):
    lines = list(csv.DictReader(io.StringIO(to_csv(report))))
    assert [line["op"] for line in lines] == ["update", "ambiguous", "contradicted"]
    assert json.loads(lines[0]["evidence"]) == {"why": "named: 'Series 2B' named in 1 row"}
    assert (lines[1]["old"], lines[1]["new"]) == ("20", "[1, 2]")


def test_a_table_shows_the_candidates_with_their_witnesses(report):
    out = io.StringIO()
    print_report(console(out), report)
    told = " ".join(out.getvalue().split())
    assert "Left as it is, toy.poll_has_a_team:" in told
    assert "1 (named 1, mapping -1)" in told
