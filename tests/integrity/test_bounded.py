"""Bounded: the size of a table and how fast it changes, in analyses and as the gate of an import."""

import pytest
from django.db.models import Q

from integrity import Always, Bounded, Derived, Unique
from integrity.engine import accept, analyze
from integrity.exceptions import WrongDeclaration
from tests.integrity.feeds import imported, nightly, squad
from tests.integrity.helpers import contents, declared, finds, registered
from tests.toy.models import Club
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db


def clubs(number):
    Club.objects.all().delete()
    Club.objects.bulk_create(Club(points=i % 2) for i in range(number))


def why(rule):
    report = analyze([rule]).rules[0]
    assert not report.error, report.error
    return [finding.evidence["why"] for finding in report.sample]


@pytest.mark.parametrize(
    ("number", "found"), [(2, ["2 rows are fewer than 3"]), (3, []), (5, []), (6, ["6 rows are more than 5"])]
)
def test_rows_are_counted(number, found):
    clubs(number)
    assert why(declared(Bounded, Club, rows=(3, 5))) == found


def test_a_finding_names_the_table_and_the_number():
    clubs(6)
    assert finds(declared(Bounded, Club, rows=(None, 5))) == {"toy_club": (6, "at most 5")}


def test_where_counts_some_rows_alone():
    clubs(6)
    assert why(declared(Bounded, Club, rows=(None, 3), where=Q(points=1))) == []


@pytest.mark.parametrize(
    ("after", "found"),
    [
        (12, []),
        (13, ["it grew from 10 to 13 rows, by more than 20%"]),
        (9, []),
        (8, ["it shrank from 10 to 8 rows, by more than 1"]),
    ],
)
def test_growth_is_counted_from_the_last_clean_look(after, found):
    rule = declared(Bounded, Club, growth="20%", shrinkage=1)
    clubs(10)
    assert why(rule) == []
    clubs(after)
    assert why(rule) == found
    # What was not clean is nothing to compare with.
    assert why(rule) == found


def test_the_first_look_has_nothing_to_compare_with():
    clubs(10)
    assert why(declared(Bounded, Club, growth="20%")) == []


def test_the_first_rows_of_a_table_are_no_growth():
    rule = declared(Bounded, Club, growth="20%")
    assert why(rule) == []
    clubs(10)
    assert why(rule) == []


def test_growth_that_is_meant_is_accepted():
    rule = declared(Bounded, Club, rows=(None, 5))
    clubs(6)
    assert len(why(rule)) == 1
    accept(rule, ("toy_club",), by="ann", because="a merger")
    assert why(rule) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "declares no bound"),
        ({"growth": "much"}, "'much' is neither a share"),
        ({"rows": (5, 3)}, "at least 5 and at most 3"),
    ],
)
def test_a_declaration_that_means_nothing_is_found_at_start(options, message):
    (error,) = declared(Bounded, Club, **options).check()
    assert message in error.msg
    with pytest.raises(WrongDeclaration):
        raise WrongDeclaration(error.msg)


# As gates


def gated(rule, *squads, **options):
    with registered(rule):
        return imported(*squads, **options)


def test_an_import_that_grows_a_table_beyond_its_bound_is_rolled_back():
    rule = declared(Bounded, Squad, growth="50%", name="squads_grow_slowly")
    squads = [squad(name=f"Squad {i}") for i in range(8)]
    assert gated(rule, *squads[:4]).status == "clean"
    before = contents()
    report = gated(rule, *squads)
    assert (report.status, report.changes) == ("refused", 0)
    assert "toy.squads_grow_slowly: it grew from 4 to 8 rows, by more than 50%" in report.error
    assert contents() == before


def test_an_import_within_the_bound_is_what_the_next_analysis_compares_with():
    rule = declared(Bounded, Squad, growth=2)
    squads = [squad(name=f"Squad {i}") for i in range(6)]
    gated(rule, *squads[:2])
    for number in (4, 6):
        assert gated(rule, *squads[:number]).status == "clean"
    assert why(rule) == []


def test_an_import_that_would_break_a_rule_is_rolled_back_and_names_the_rows():
    rule = declared(Always, Squad, condition=~Q(alias="bad"), name="no_bad_alias")
    gated(rule, squad())
    before = contents()
    report = gated(rule, squad(alias="bad"), squad(name="Elms"))
    pk = Squad.objects.get().pk
    assert report.status == "refused"
    assert f"would break toy.no_bad_alias: 1 violation at id {pk}" in report.error
    assert contents() == before


def test_what_was_broken_before_does_not_stop_an_import():
    rule = declared(Always, Squad, condition=~Q(alias="bad"))
    imported(squad(alias="bad"))
    assert gated(rule, squad(alias="bad"), squad(name="Elms")).status == "clean"


def test_a_rule_that_must_hold_stops_an_import_before_it_begins():
    rule = declared(Always, Squad, condition=~Q(alias="bad"), name="no_bad_alias")
    imported(squad(alias="bad"))
    report = gated(rule, squad(), wanted=nightly(must_hold=["toy.no_bad_alias"]))
    assert report.status == "refused"
    assert "must hold before toy.nightly begins, and 1 violation" in report.error


def test_a_unique_rule_over_other_columns_is_a_gate():
    rule = declared(Unique, Squad, by=["alias"], where=~Q(alias=""), name="one_alias")
    report = gated(rule, squad(alias="A"), squad(name="Elms", alias="A"))
    assert report.status == "refused"
    assert "toy.one_alias: 1 violation at alias A" in report.error


def test_an_import_that_writes_nothing_looks_at_no_rule():
    imported(squad())
    rule = declared(Derived, Squad, "rating", equals=Q(), name="never_looked_at")
    assert gated(rule, squad()).status == "clean"
