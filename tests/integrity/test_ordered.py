"""Ordered: found, not found, NULL, ties, several groups, scopes, neighbours, and what cannot be declared."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.db.models import Q, Sum
from django.test.utils import CaptureQueriesContext
from hypothesis import given
from hypothesis import strategies as st

from integrity import Ordered, Recompute
from integrity.engine import analyze
from integrity.scope import Scope
from integrity.statement import Statement, fetch
from integrity.touched import touched
from tests.integrity.helpers import declared, finds
from tests.toy.models import Account, Entry, Ledger, Line, Posting, Shipment

pytestmark = pytest.mark.django_db

FIRST = datetime(2026, 3, 2, tzinfo=UTC)


def day(passed):
    return FIRST + timedelta(days=passed)


def grows(**options):
    options = {"along": ["at"], "within": "account"} | options
    return declared(Ordered, Entry, "amount", **options)


def make_entries(*amounts, account=None, **fields):
    """Entries of one account, a day apart."""
    account = account or Account.objects.create()
    return [
        Entry.objects.create(account=account, amount=amount, at=day(passed), **fields)
        for passed, amount in enumerate(amounts)
    ]


def test_a_value_lower_than_the_one_before_is_found():
    entries = make_entries(1, 5, 3, 4, 9)
    assert finds(grows()) == {entries[2].pk: (3, 5)}


def test_growth_is_clean():
    make_entries(1, 5, 6)
    assert finds(grows()) == {}


def test_an_equal_value_is_clean():
    make_entries(1, 5, 5, 5, 6)
    assert finds(grows()) == {}


def test_each_group_has_a_sequence_of_its_own():
    make_entries(8, 9)
    make_entries(1, 2)
    assert finds(grows()) == {}


def test_without_groups_the_table_is_one_sequence():
    make_entries(8)
    late = Entry.objects.create(account=Account.objects.create(), amount=1, at=day(1))
    assert finds(grows(within=())) == {late.pk: (1, 8)}


def test_a_row_without_value_or_place_says_nothing():
    account = Account.objects.create()
    make_entries(5, None, 6, account=account)
    Entry.objects.create(account=account, amount=1, at=None)
    assert finds(grows()) == {}


def test_a_null_between_two_values_hides_no_fall():
    entries = make_entries(5, None, 4)
    assert finds(grows()) == {entries[2].pk: (4, 5)}


def test_the_primary_key_decides_between_equals():
    account = Account.objects.create()
    entries = [Entry.objects.create(account=account, amount=amount, at=FIRST) for amount in (2, 1)]
    assert finds(grows()) == {entries[1].pk: (1, 2)}


def test_rows_that_the_rule_does_not_speak_about_are_no_neighbours():
    account = Account.objects.create()
    _, _, last = make_entries(5, 100, 6, account=account)
    Entry.objects.filter(amount=100).update(void=True)
    assert finds(grows(where=Q(void=False))) == {}
    assert finds(grows()) == {last.pk: (6, 100)}


def test_growth_above_the_rate_is_found():
    entries = make_entries(0, 10, 21)
    assert finds(grows(at_most_per_day=10)) == {entries[2].pk: (21, Decimal(20))}


def test_growth_is_allowed_for_every_day_that_passed():
    account = Account.objects.create()
    for passed, amount in ((0, 0), (2.5, 25)):
        Entry.objects.create(account=account, amount=amount, at=day(passed))
    assert finds(grows(at_most_per_day=10)) == {}


def test_a_part_of_a_day_counts_as_one():
    account = Account.objects.create()
    for passed, amount in ((0, 0), (0, 5), (0.1, 15)):
        Entry.objects.create(account=account, amount=amount, at=day(passed))
    assert finds(grows(at_most_per_day=10)) == {}


def test_a_copied_value_does_not_shorten_the_time():
    make_entries(0, 0, 0, 0, 40)
    assert finds(grows(at_most_per_day=10)) == {}


def test_evidence_names_the_values_before_and_after_and_the_reason():
    make_entries(1, 5, 5, 3, 3, 4)
    (found,) = analyze([grows()]).rules[0].sample
    assert found.evidence == {
        "why": "lower than the one before",
        "previous": 5,
        "previous_at": day(1),
        "next": 4,
        "next_at": day(5),
    }


def test_too_fast_is_said_with_the_rate():
    make_entries(1, 50)
    (found,) = analyze([grows(at_most_per_day=10)]).rules[0].sample
    assert found.evidence["why"] == "more than 10 a day"


def test_a_series_restarts_where_a_row_says_so():
    account = Account.objects.create()
    make_entries(90, 95, account=account)
    for passed, amount, void in ((2, 0, True), (3, 5, False), (4, 4, False)):
        last = Entry.objects.create(account=account, amount=amount, at=day(passed), void=void)
    assert finds(grows(restarts=Q(void=True))) == {last.pk: (4, 5)}


def test_the_row_before_a_restart_has_no_next():
    account = Account.objects.create()
    make_entries(90, 80, account=account)
    Entry.objects.create(account=account, amount=0, at=day(2), void=True)
    (found,) = analyze([grows(restarts=Q(void=True))]).rules[0].sample
    assert (found.evidence["previous"], found.evidence["next"]) == (90, None)


def test_a_scope_sees_the_neighbours_of_its_keys():
    entries = make_entries(5, 4, 3)
    make_entries(9, 8)
    rule = grows()
    assert finds(rule, keys=[(entries[2].pk,)]) == {entries[2].pk: (3, 4)}
    assert finds(rule, keys=[]) == {}


def test_a_scope_beyond_a_key_finds_what_is_left():
    entries = make_entries(5, 4, 3)
    rows = fetch(connection, grows().violations(Scope(after=(entries[1].pk,)), "default"))
    assert [row["key__id"] for row in rows] == [entries[2].pk]


def test_an_accepted_row_is_still_a_neighbour():
    entries = make_entries(5, 3, 2)
    rows = fetch(connection, grows().violations(Scope(without=((entries[1].pk,),)), "default"))
    assert [(row["key__id"], row["expected__amount"]) for row in rows] == [(entries[2].pk, 3)]


def test_a_changed_row_concerns_all_rows_of_its_group():
    entries = make_entries(1, 2, 3)
    make_entries(1)
    source = Statement("SELECT * FROM toy_entry WHERE id = %s", (entries[1].pk,))
    keys = fetch(connection, touched(grows(), Entry, source))
    assert {key["id"] for key in keys} == {entry.pk for entry in entries}


def test_the_table_of_groups_itself_decides_nothing():
    rule = grows()
    assert rule.reads() == {Entry}
    assert rule.reads_whole() == ()


@pytest.mark.parametrize("within", [(), "order"])
def test_without_a_way_back_the_rule_is_checked_whole(within):
    rule = declared(Ordered, Shipment, "quantity", along=["number"], within=within)
    assert rule.reads_whole() == (Shipment,)


def test_groups_may_be_plain_columns_and_several():
    numbers = [(("a", "1"), 5), (("a", "2"), 3), (("a", "1"), 4)]
    rows = [Shipment.objects.create(order=o, number=n, quantity=quantity) for (o, n), quantity in numbers]
    rule = declared(Ordered, Shipment, "quantity", along=["id"], within=["order", "number"])
    assert finds(rule) == {rows[2].pk: (4, 5)}


def test_a_composite_key_is_found():
    Line.objects.create(order="1", number="1", quantity=5)
    Line.objects.create(order="1", number="2", quantity=4)
    rule = declared(Ordered, Line, "quantity", along=["number"], within="order")
    assert finds(rule) == {("1", "2"): (4, 5)}
    assert finds(rule, keys=[("1", "1")]) == {}


def test_dates_measure_time_as_well():
    posting = {"ledger": Ledger.objects.create(total=0)}
    Posting.objects.create(amount=0, day=FIRST.date(), **posting)
    late = Posting.objects.create(amount=31, day=day(3).date(), **posting)
    rule = declared(Ordered, Posting, "amount", along=["day"], within="ledger", at_most_per_day=Decimal("10.3"))
    assert finds(rule) == {late.pk: (31, Decimal("30.9"))}


def test_it_takes_one_statement_whatever_the_rows():
    make_entries(3, 2, 1)
    with CaptureQueriesContext(connection) as seen:
        fetch(connection, grows(at_most_per_day=1).violations(Scope(), "default"))
    assert len(seen) == 1


def walked(entries, rate):
    """The oracle: one group at a time, one row after the other."""
    found = set()
    for account in {entry.account_id for entry in entries}:
        ordered = sorted((e for e in entries if e.account_id == account), key=lambda e: (e.at, e.pk))
        before = None
        for entry in ordered:
            if before and entry.amount == before.amount:
                continue
            if before and (
                entry.amount < before.amount
                or entry.amount - before.amount > max((entry.at - before.at) / timedelta(days=1), 1) * rate
            ):
                found.add(entry.pk)
            before = entry
    return found


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6), st.integers(0, 9)), max_size=14))
def test_it_finds_what_a_walk_finds(rows):
    Entry.objects.all().delete()
    accounts = [Account.objects.create() for _ in range(3)]
    made = [Entry.objects.create(account=accounts[a], at=day(passed / 2), amount=n) for a, passed, n in rows]
    rule = grows(at_most_per_day=2)
    assert set(finds(rule)) == walked(made, 2)
    for entry in made[:3]:
        assert set(finds(rule, keys=[(entry.pk,)])) == walked(made, 2) & {entry.pk}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"along": []}, "it has no order"),
        ({"along": ["when"]}, "'when' is not a stored column of toy.Entry"),
        ({"within": "parts"}, "'parts' is not a stored column of toy.Entry"),
        ({"at_most_per_day": 0}, "at_most_per_day=0 allows no growth"),
        ({"at_most_per_day": -3}, "at_most_per_day=-3 allows no growth"),
        ({"along": ["id"], "at_most_per_day": 3}, "needs a date or time, and along= begins with 'id'"),
        ({"restarts": Q(parts__units=1)}, "restarts= leads to many rows by 'parts__units'"),
        ({"restarts": Q(amount__gt=Sum("parts__units"))}, "restarts= aggregates rows"),
        ({"interrupted_by": "at"}, "interrupted_by='at' is not a date or time of rows that refer to within="),
        ({"interrupted_by": "account__notes__text"}, "is not a date or time of rows that refer to within="),
        ({"interrupted_by": "parts__units"}, "is not a date or time of rows that refer to within="),
        ({"repairs": {"put_right": Recompute()}}, "repair 'put_right' is Recompute, which only a Derived rule"),
    ],
)
def test_a_wrong_declaration_is_told_with_a_way_out(options, sentence):
    (problem,) = grows(**options).check()
    assert problem.id == "integrity.E002"
    assert sentence in problem.msg
    assert problem.hint


def test_a_text_has_no_rate():
    rule = declared(Ordered, Posting, "note", along=["made_at"], within="ledger", at_most_per_day=1)
    (problem,) = rule.check()
    assert "'note' is no number and has no rate" in problem.msg


def test_it_is_not_enforced():
    (problem,) = grows(enforce=True).check()
    assert "is not enforced by the database" in problem.msg
