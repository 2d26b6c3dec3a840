"""Merge: rows that are one thing become one, with what any of them knew and everything that refers to them."""

import datetime

import pytest
from django.db.models import Avg, Count, F, Max, Min, Sum

from integrity import Derived, Merge, References
from integrity.engine import preview
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, finds, registered, repaired
from tests.integrity.test_unique import unique
from tests.toy import crews
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

DAY = datetime.date(2026, 1, 1)


def make_crew(name="Terns", **fields):
    return crews.Crew.objects.create(name=name, **fields)


def merging(*, keep="id", by=("name",), **options):
    return unique(crews.Crew, list(by), keep=keep, repairs={"merge": Merge(**options)})


def merged(*others, keep="id", by=("name",), dry_run=False, **options):
    """The report of a merge of crews with the same name, while some other rules are known too."""
    with registered(*others):
        return repaired(merging(keep=keep, by=by, **options), "merge", dry_run=dry_run)


def rumours(**options):
    return declared(References, crews.Rumour, "crew_number", to=crews.Crew, **options)


def give_one_of_each(crew, sailor, club):
    """Everything that may refer to a crew."""
    crew.clubs.add(club)
    berth = crews.Berth.objects.create(crew=crew, sailor=sailor)
    crews.Boat.objects.create(crew=crew)
    crews.Race.objects.create(home=crew, away=make_crew(f"rival of {crew.pk}"))
    crews.Race.objects.create(home=make_crew(f"host of {crew.pk}"), away=crew)
    crews.Sighting.objects.create(crew=crew)
    crews.Rumour.objects.create(crew_number=crew.pk)
    crews.Signal.objects.create(crew=crew)
    crews.Payment.objects.create(crew=crew, amount=3)
    toy.Tag.objects.create(target=crew, weight=1)
    make_crew(f"part of {crew.pk}", parent=crew)
    return berth


def told(report):
    assert not report.rules[0].error, report.rules[0].error
    return report.status, report.rules[0].outcomes, report.rules[0].reasons


# All that refers


def test_whatever_refers_is_pointed_at_the_kept_row_in_each_of_a_dozen_ways():
    kept, gone = make_crew(code="a"), make_crew(code="b")
    give_one_of_each(gone, crews.Sailor.objects.create(), toy.Club.objects.create())
    report = merged(rumours())
    assert told(report) == ("clean", {"merged": 1}, [])
    assert not crews.Crew.objects.filter(pk=gone.pk).exists()
    found = {
        "clubs": kept.clubs.count(),
        "sailors": kept.sailors.count(),
        "boat": crews.Boat.objects.filter(crew=kept).count(),
        "home": kept.home_races.count(),
        "away": kept.away_races.count(),
        "sightings": kept.sightings.count(),
        "rumours": crews.Rumour.objects.filter(crew_number=kept.pk).count(),
        "signals": kept.signals.count(),
        "payments": kept.payments.count(),
        "tags": kept.tags.count(),
        "parts": kept.parts.count(),
    }
    assert found == dict.fromkeys(found, 1)


def test_it_is_undone_to_the_byte():
    make_crew(code="a"), make_crew(code="b", external_id=7)
    give_one_of_each(crews.Crew.objects.get(code="b"), crews.Sailor.objects.create(), toy.Club.objects.create())
    before = contents()
    report = merged(rumours(), fill=["external_id"], combine={"since": Max("since")})
    after = contents()
    back = undo(report.run)
    assert (back.status, contents()) == ("clean", before)
    undo(back.run)
    assert contents() == after


def test_several_become_one():
    kept, *gone = (make_crew() for _ in range(4))
    for crew in gone:
        crews.Payment.objects.create(crew=crew, amount=1)
    assert told(merged()) == ("clean", {"merged": 3}, [])
    assert kept.payments.count() == 3


def test_a_second_merge_writes_nothing():
    make_crew(wins=1), make_crew(wins=2)
    assert merged(combine={"wins": Sum("wins")}).changes == 2
    assert merged(combine={"wins": Sum("wins")}).changes == 0


def test_a_dry_run_writes_nothing():
    make_crew(), make_crew()
    before = contents()
    report = merged(dry_run=True)
    assert (report.changes, report.rules[0].outcomes, contents()) == (1, {"merged": 1}, before)


def test_rows_of_which_a_rule_does_not_speak_keep_their_number():
    make_crew()
    gone = make_crew()
    crews.Rumour.objects.create(crew_number=gone.pk, kind="boat")
    from django.db.models import Q

    merged(rumours(where=Q(kind="crew")))
    assert crews.Rumour.objects.get().crew_number == gone.pk


def test_a_reference_to_another_column_follows_what_the_kept_row_has_there():
    kept, gone = make_crew(code="a"), make_crew(code="b")
    signal = crews.Signal.objects.create(crew=gone)
    assert merged().status == "clean"
    signal.refresh_from_db()
    assert (signal.crew_id, signal.crew) == ("a", kept)


def test_a_reference_to_a_column_that_the_kept_row_lacks_protects_the_key():
    make_crew()
    crews.Signal.objects.create(crew=make_crew(code="b"))
    status, _, (reason,) = told(merged())
    assert (status, reason) == (
        "partial",
        "name Terns: rows of toy_signal refer to its code, which the kept row does not have",
    )
    assert crews.Crew.objects.count() == 2


# What the kept row takes from the others


def test_a_lack_is_filled_from_the_first_that_says_something():
    kept = make_crew()
    make_crew(alias="", external_id=None), make_crew(alias="T", external_id=7), make_crew(alias="X", external_id=8)
    merged(fill=["alias", "external_id"])
    kept.refresh_from_db()
    assert (kept.alias, kept.external_id) == ("T", 7)


def test_what_the_kept_row_says_stays():
    kept = make_crew(alias="K", external_id=1)
    make_crew(alias="T", external_id=7)
    merged(fill=["alias", "external_id"])
    kept.refresh_from_db()
    assert (kept.alias, kept.external_id) == ("K", 1)


def test_the_order_of_keep_is_that_of_what_is_taken():
    for alias, since in (("old", 1), ("middle", 2), ("", 3)):
        make_crew(alias=alias, since=DAY.replace(day=since))
    merged(keep="-since", fill=["alias"])
    assert crews.Crew.objects.get().alias == "middle"


def test_columns_become_aggregates_over_all_rows():
    make_crew(wins=1, since=DAY.replace(day=9)), make_crew(wins=2, since=DAY), make_crew(wins=4)
    merged(combine={"wins": Sum("wins"), "since": Min("since")})
    crew = crews.Crew.objects.get()
    assert (crew.wins, crew.since) == (7, DAY)


def test_an_aggregate_of_another_type_becomes_one_of_the_column():
    make_crew(wins=1), make_crew(wins=2)
    merged(combine={"wins": Avg("wins")})
    assert crews.Crew.objects.get().wins == 2


def test_a_row_that_was_alone_is_not_touched():
    alone = make_crew("Gulls", wins=5)
    make_crew(), make_crew()
    merged(combine={"wins": Count("*")})
    alone.refresh_from_db()
    assert (alone.wins, crews.Crew.objects.get(name="Terns").wins) == (5, 2)


def test_the_one_that_most_refer_to_may_be_kept():
    make_crew()
    kept = make_crew()
    crews.Payment.objects.create(crew=kept, amount=1)
    merged(keep=Count("payments").desc())
    assert crews.Crew.objects.get() == kept


def test_a_reference_may_be_a_part_of_the_key():
    parent = make_crew("Fleet")
    kept = make_crew(parent=parent)
    make_crew(parent=parent), make_crew(parent=None)
    merged(by=("name", "parent"))
    assert set(crews.Crew.objects.filter(name="Terns", parent=parent)) == {kept}
    assert crews.Crew.objects.count() == 3


# Rows that would repeat each other


@pytest.fixture
def twice():
    """A sailor who has a berth with both of two crews that are one; the main one with the crew that goes."""
    kept, gone, sailor = make_crew(), make_crew(), crews.Sailor.objects.create()
    minor = crews.Berth.objects.create(crew=kept, sailor=sailor, is_main=False)
    main = crews.Berth.objects.create(crew=gone, sailor=sailor, is_main=True)
    return kept, gone, minor, main


def test_of_repetitions_the_declared_one_stays(twice):
    kept, _, _, main = twice
    assert told(merged(repeats={crews.Berth: "-is_main"})) == ("clean", {"merged": 1}, [])
    berth = crews.Berth.objects.get()
    assert (berth, berth.crew) == (main, kept)


def test_of_repetitions_that_are_equal_the_kept_rows_own_stays(twice):
    _, _, minor, _ = twice
    merged(repeats={crews.Berth: F("cabin").asc()})
    assert crews.Berth.objects.get() == minor


def test_repetitions_come_back_with_an_undo(twice):
    before = contents()
    undo(merged(repeats={crews.Berth: "-is_main"}).run)
    assert contents() == before


def test_repetitions_that_nobody_declared_protect_their_key(twice):
    before = contents(crews.Crew, crews.Berth)
    status, outcomes, (reason,) = told(merged())
    assert (status, outcomes, contents(crews.Crew, crews.Berth)) == ("partial", {}, before)
    assert reason == "name Terns: rows of toy_berth would repeat each other"


def test_a_repetition_that_others_refer_to_protects_its_key(twice):
    _, _, minor, _ = twice
    crews.Meal.objects.create(berth=minor)
    before = contents(crews.Crew, crews.Berth, crews.Meal)
    status, _, (reason,) = told(merged(repeats={crews.Berth: "-is_main"}))
    assert (status, reason) == ("partial", "name Terns: rows of toy_meal would be lost with it")
    assert contents(crews.Crew, crews.Berth, crews.Meal) == before


def test_null_is_no_repetition_where_the_index_does_not_say_so():
    kept, gone = make_crew(), make_crew()
    for crew in (kept, gone):
        crews.Berth.objects.create(crew=crew, sailor=crews.Sailor.objects.create(), cabin=None)
    assert merged(repeats={crews.Berth: "id"}).status == "clean"
    assert kept.berths.count() == 2


def test_an_index_over_some_rows_sees_those_alone():
    kept, gone = make_crew(), make_crew()
    first = crews.Berth.objects.create(crew=kept, sailor=crews.Sailor.objects.create(), is_main=True)
    crews.Berth.objects.create(crew=gone, sailor=crews.Sailor.objects.create(), is_main=True)
    other = crews.Berth.objects.create(crew=gone, sailor=crews.Sailor.objects.create(), is_main=False)
    assert merged(repeats={crews.Berth: "id"}).status == "clean"
    assert set(kept.berths.all()) == {first, other}


def test_a_row_that_repeats_a_repetition_protects_the_key():
    kept, gone, sailor = make_crew(), make_crew(), crews.Sailor.objects.create()
    crews.Berth.objects.create(crew=kept, sailor=sailor)
    # Of one sailor with the first, and of one cabin with the third, which alone would stay without it.
    crews.Berth.objects.create(crew=gone, sailor=sailor, cabin=1)
    crews.Berth.objects.create(crew=make_crew(), sailor=crews.Sailor.objects.create(), cabin=1)
    before = contents(crews.Crew, crews.Berth)
    status, _, (reason,) = told(merged(repeats={crews.Berth: "id"}))
    assert (status, contents(crews.Crew, crews.Berth)) == ("partial", before)
    assert reason == "name Terns: rows of toy_berth would repeat each other by several of its unique indexes"


def test_two_one_to_one_rows_protect_their_key_and_others_are_merged():
    for name in ("Terns", "Gulls"):
        for _ in range(2):
            make_crew(name)
    for crew in crews.Crew.objects.filter(name="Terns"):
        crews.Boat.objects.create(crew=crew)
    status, outcomes, (reason,) = told(merged())
    assert (status, outcomes, reason) == (
        "partial",
        {"merged": 1},
        "name Terns: rows of toy_boat would repeat each other",
    )
    assert (crews.Crew.objects.filter(name="Terns").count(), crews.Crew.objects.filter(name="Gulls").count()) == (2, 1)


def test_two_crews_that_raced_each_other_are_not_one():
    crews.Race.objects.create(home=make_crew(), away=make_crew())
    status, _, (reason,) = told(merged())
    assert (status, reason) == ("partial", "name Terns: rows of toy_race refer to two of its rows")


def test_a_row_that_would_refer_to_itself_protects_its_key():
    gone = make_crew("Terns")
    make_crew(parent=gone)
    status, _, (reason,) = told(merged(keep="-id"))
    assert (status, reason) == ("partial", "name Terns: rows of toy_crew would refer to themselves")


def test_a_row_whose_own_key_is_the_reference_protects_it():
    make_crew()
    crews.Captaincy.objects.create(crew=make_crew())
    status, _, (reason,) = told(merged())
    assert status == "partial"
    assert reason == (
        "name Terns: rows of toy_captaincy refer to it by their own primary key, which cannot be pointed elsewhere"
    )


def test_a_preview_shows_nothing_of_a_key_that_would_be_left_alone(twice):
    make_crew("Gulls"), make_crew("Gulls")
    planned = preview(merging(), "merge", [("Terns",), ("Gulls",)], limit=9)
    assert [(change.table, change.op, change.owner) for change in planned] == [("toy_crew", "delete", ("Gulls",))]


# Other rules


def test_a_merge_that_a_total_does_not_follow_is_refused_and_named():
    make_crew(wins=3), make_crew()
    for crew in crews.Crew.objects.all():
        crews.Payment.objects.create(crew=crew, amount=3)
    crews.Crew.objects.update(wins=3)
    total = declared(Derived, crews.Crew, "wins", equals=Sum("payments__amount"))
    before = contents(crews.Crew, crews.Payment)
    report = merged(total)
    assert (report.status, contents(crews.Crew, crews.Payment)) == ("refused", before)
    assert total.label in report.rules[0].error


def test_a_total_that_is_combined_is_right_afterwards():
    for amount in (3, 4):
        crews.Payment.objects.create(crew=make_crew(wins=amount), amount=amount)
    total = declared(Derived, crews.Crew, "wins", equals=Sum("payments__amount"))
    assert merged(total, combine={"wins": Sum("wins")}).status == "clean"
    assert (crews.Crew.objects.get().wins, finds(total)) == (7, {})


def test_a_total_and_its_merge_are_repaired_together():
    from integrity.repair import repair

    for amount in (3, 4):
        crews.Payment.objects.create(crew=make_crew(wins=amount), amount=amount)
    total = declared(Derived, crews.Crew, "wins", equals=Sum("payments__amount"))
    rule = merging()
    with registered(rule, total):
        report = repair([(total, "recompute"), (rule, "merge")])
    assert (report.status, crews.Crew.objects.get().wins) == ("clean", 7)


# Wrong declarations


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": ["nickname"]}, "sets 'nickname', which is no column of toy.Crew"),
        ({"fill": ["payments"]}, "sets 'payments', which is no column of toy.Crew"),
        ({"fill": ["name"]}, "sets 'name', which the rows of a key have in common"),
        ({"combine": {"id": Max("id")}}, "sets 'id', which the rows of a key have in common or are told apart by"),
        ({"fill": ["wins"], "combine": {"wins": Max("wins")}}, "sets 'wins' twice"),
        ({"combine": {"wins": "max"}}, "combines 'wins' by 'max', which is no aggregate"),
        ({"combine": {"wins": Max("losses")}}, "has no field 'losses'"),
        ({"combine": {"wins": Sum("payments__amount")}}, "which is about other rows than those that become one"),
        ({"repeats": {toy.Posting: "id"}}, "has repeats for toy.Posting, which does not refer to toy.Crew"),
        ({"repeats": {crews.Berth: "rank"}}, "cannot order repeats of toy.Berth"),
    ],
)
def test_a_wrong_declaration_is_told_at_start_up(options, message):
    from integrity import Unique

    rule = declared(Unique, crews.Crew, by=["name"], keep="id", repairs={"merge": Merge(**options)})
    problem = rule.check()[0]
    assert (problem.id, bool(problem.hint)) == ("integrity.E002", True)
    assert message in problem.msg


def test_an_order_of_keep_that_cannot_be_compiled_is_told_at_start_up():
    from integrity import Unique

    rule = declared(Unique, crews.Crew, by=["name"], keep="weight")
    assert "keep= cannot be compiled" in rule.check()[0].msg
