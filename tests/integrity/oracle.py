"""Random toy rows, rules over them, and the same truths in plain Python, row by row and without any SQL."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from types import SimpleNamespace
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Avg, Count, F, Max, Min, Model, Q, Sum, Value
from django.db.models.functions import Coalesce
from hypothesis import strategies as st

from integrity import Derived, Latest, PerKey
from tests.integrity.helpers import declared
from tests.toy import models as toy

BERLIN = datetime.timezone(datetime.timedelta(hours=2))
MIDNIGHT = datetime.datetime(2026, 3, 2, tzinfo=BERLIN)
# Composite keys that are one when glued together, and texts that a collation orders otherwise than their bytes.
TEXTS = ["1", "11", "111", "a", "B", "b", "ä", "Z", "a-", "ab", "-", "10", "2", " "]

MODELS: tuple[type[Model], ...] = (
    toy.Branch,
    toy.Club,
    toy.Account,
    toy.Account.clubs.through,
    toy.Entry,
    toy.Part,
    toy.Hold,
    toy.Node,
    toy.Box,
    toy.Item,
    toy.Tag,
    toy.Region,
    toy.Sale,
    toy.Employee,
    toy.Shift,
    toy.Line,
    toy.Shipment,
)

small = st.integers(-1, 4)
amounts = st.sampled_from([Decimal(a) for a in ("-3", "-0.01", "0", "0.01", "1", "1", "2", "2.5", "3.33", "1000")])
maybe_amounts = st.none() | amounts
moments = st.none() | st.sampled_from([MIDNIGHT + datetime.timedelta(minutes=m) for m in (-60, -1, 0, 1, 60)])
indexes = st.integers(0, 20)
texts = st.sampled_from(TEXTS)

worlds = st.fixed_dictionaries(
    {
        "branches": st.integers(1, 2),
        "clubs": st.lists(small, min_size=1, max_size=3),
        "accounts": st.lists(
            st.tuples(st.booleans(), st.none() | indexes, amounts, maybe_amounts, small, st.sets(st.integers(0, 2))),
            min_size=1,
            max_size=4,
        ),
        "entries": st.lists(st.tuples(indexes, maybe_amounts, moments, st.booleans()), max_size=8),
        "parts": st.lists(indexes, max_size=4),
        "holds": st.dictionaries(st.integers(0, 3), amounts, max_size=2),
        "nodes": st.lists(st.tuples(st.none() | indexes, small, small, small), max_size=5),
        "boxes": st.lists(st.tuples(small, st.sampled_from([0.0, 0.1, 0.3, 0.6])), min_size=1, max_size=3),
        "items": st.lists(st.tuples(indexes, st.sampled_from([0.1, 0.2, 0.3])), max_size=5),
        "tags": st.lists(st.tuples(st.sampled_from(["accounts", "branches", "boxes"]), indexes, small), max_size=6),
        "regions": st.lists(st.tuples(texts, small), unique_by=lambda r: r[0], min_size=1, max_size=4),
        "sales": st.lists(st.tuples(indexes, small), max_size=5),
        "employees": st.lists(small, min_size=1, max_size=3),
        "shifts": st.lists(st.tuples(indexes, small), max_size=4),
        "lines": st.lists(st.tuples(texts, texts, small, small), unique_by=lambda r: r[:2], max_size=6),
        "shipments": st.lists(st.tuples(texts, texts, small), max_size=6),
    }
)


@contextmanager
def rolled_back() -> Iterator[None]:
    """Examples leave nothing behind; the engine may begin durable transactions within."""
    block: Any = transaction.atomic()
    block._from_testcase = True
    with block:
        yield
        transaction.set_rollback(True)


def at(rows: Sequence[Any], index: int) -> Any:
    return rows[index % len(rows)]


def make(world: dict[str, Any]) -> None:
    """Write the rows of a world; an index that is too high goes round."""
    branches = toy.Branch.objects.bulk_create(toy.Branch(code=str(i)) for i in range(world["branches"]))
    clubs = toy.Club.objects.bulk_create(toy.Club(points=points) for points in world["clubs"])
    accounts = toy.Account.objects.bulk_create(
        toy.Account(
            hidden=hidden,
            branch=None if branch is None else at(branches, branch),
            limit=limit,
            balance=stored,
            highest=stored,
            mean=stored,
            last_amount=stored,
            entry_count=number,
            tag_weight=number,
            club_points=number,
            branch_accounts=number,
        )
        for hidden, branch, limit, stored, number, _ in world["accounts"]
    )
    toy.Account.clubs.through.objects.bulk_create(
        toy.Account.clubs.through(account=account, club=clubs[club])
        for account, (*_, members) in zip(accounts, world["accounts"], strict=True)
        for club in members
        if club < len(clubs)
    )
    entries = toy.Entry.objects.bulk_create(
        toy.Entry(account=at(accounts, account), amount=amount, at=moment, void=void)
        for account, amount, moment, void in world["entries"]
    )
    toy.Part.objects.bulk_create(toy.Part(entry=at(entries, entry)) for entry in world["parts"] if entries)
    toy.Hold.objects.bulk_create(
        toy.Hold(account=accounts[account], amount=amount)
        for account, amount in world["holds"].items()
        if account < len(accounts)
    )
    nodes: list[Any] = []
    for parent, own, total, children in world["nodes"]:
        above = at(nodes, parent) if nodes and parent is not None else None
        nodes.append(toy.Node.objects.create(parent=above, own=own, total=total, child_count=children))
    boxes = toy.Box.objects.bulk_create(
        toy.Box(id=uuid.UUID(int=i + 1), item_count=number, weight=weight, tag_weight=number)
        for i, (number, weight) in enumerate(world["boxes"])
    )
    toy.Item.objects.bulk_create(toy.Item(box=at(boxes, box), weight=weight) for box, weight in world["items"])
    targets: dict[str, list[Any]] = {"accounts": accounts, "branches": branches, "boxes": boxes}
    toy.Tag.objects.bulk_create(
        toy.Tag(target=at(targets[kind], target), weight=weight) for kind, target, weight in world["tags"]
    )
    regions = toy.Region.objects.bulk_create(toy.Region(code=code, sales=sales) for code, sales in world["regions"])
    toy.Sale.objects.bulk_create(toy.Sale(region=at(regions, region), amount=a) for region, a in world["sales"])
    employees = [toy.Employee.objects.create(name="a", hours=hours) for hours in world["employees"]]
    toy.Shift.objects.bulk_create(toy.Shift(employee=at(employees, e), hours=hours) for e, hours in world["shifts"])
    toy.Line.objects.bulk_create(
        toy.Line(order=order, number=number, quantity=quantity, shipped=shipped)
        for order, number, quantity, shipped in world["lines"]
    )
    toy.Shipment.objects.bulk_create(
        toy.Shipment(order=order, number=number, quantity=quantity) for order, number, quantity in world["shipments"]
    )


def read() -> dict[type[Model], list[Any]]:
    """All rows as plain values."""
    return {model: [SimpleNamespace(**row) for row in model._base_manager.values()] for model in MODELS}


Tables = dict[type[Model], list[Any]]


@dataclass(frozen=True)
class Case:
    """A rule and its expected value in plain Python, given all tables and a row of the rule's model."""

    rule: Any
    expected: Callable[[Tables, Any], Any]
    close: float = 0


def _rule(model: type[Model], column: str, equals: Any, **options: Any) -> Any:
    rule = declared(Derived, model, column, equals=equals, **options)
    assert rule.check() == []
    return rule


def _entries(t: Tables, account: Any, keep: Callable[[Any], Any] = lambda e: True) -> list[Any]:
    return [entry for entry in t[toy.Entry] if entry.account_id == account.id and keep(entry)]


def _present(rows: Sequence[Any], column: str = "amount") -> list[Any]:
    return [getattr(row, column) for row in rows if getattr(row, column) is not None]


def _total(values: Sequence[Any]) -> Any:
    return sum(values, Decimal(0))


def _mean(values: Sequence[Decimal]) -> Decimal | None:
    return (_total(values) / len(values)).quantize(Decimal("0.01"), ROUND_HALF_UP) if values else None


def _last(rows: Sequence[Any], by: Callable[[Any], Any]) -> Any:
    return max(rows, key=by).amount if rows else None


def _by_moment(entry: Any) -> Any:
    return (entry.at is not None, entry.at or MIDNIGHT, entry.id)


def _clubs(t: Tables, account: Any) -> list[Any]:
    members = {m.club_id for m in t[toy.Account.clubs.through] if m.account_id == account.id}
    return [club for club in t[toy.Club] if club.id in members]


def _entries_of_members(t: Tables, club: Any) -> list[Any]:
    members = {m.account_id for m in t[toy.Account.clubs.through] if m.club_id == club.id}
    return [entry for entry in t[toy.Entry] if entry.account_id in members]


def _hold(t: Tables, account: Any) -> Any:
    return next((hold.amount for hold in t[toy.Hold] if hold.account_id == account.id), None)


def _tags(t: Tables, model: type[Model], key: Any) -> list[Any]:
    type_ = ContentType.objects.get_for_model(model).pk
    return [tag.weight for tag in t[toy.Tag] if tag.content_type_id == type_ and tag.object_id == str(key)]


def _children(t: Tables, node: Any) -> list[Any]:
    return [child for child in t[toy.Node] if child.parent_id == node.id]


def _sales(t: Tables, region: Any) -> list[Any]:
    return [sale for sale in t[toy.Sale] if sale.region_id == region.code]


def _whole(value: Decimal) -> int:
    return int(value.quantize(Decimal(1), ROUND_HALF_UP))


def shipped() -> Any:
    """(order, number) and what was sent of it."""
    rows = toy.Shipment.objects.values("order", "number")
    return rows.annotate(value=Sum("quantity"))


BIG = Q(entries__amount__gt=F("limit"))
LIVE = Q(entries__void=False)
LATE = Q(entries__at__gte=MIDNIGHT)

CASES = {
    "sum": Case(_rule(toy.Account, "balance", Sum("entries__amount")), lambda t, a: _total(_present(_entries(t, a)))),
    "sum with a filter": Case(
        _rule(toy.Account, "balance", Sum("entries__amount", filter=LIVE)),
        lambda t, a: _total(_present(_entries(t, a, lambda e: not e.void))),
    ),
    "two sums with filters of their own": Case(
        _rule(toy.Account, "balance", Sum("entries__amount", filter=LIVE) - Sum("entries__amount", filter=~LIVE)),
        lambda t, a: (
            _total(_present(_entries(t, a, lambda e: not e.void))) - _total(_present(_entries(t, a, lambda e: e.void)))
        ),
    ),
    "sum since a moment of another zone": Case(
        _rule(toy.Account, "balance", Sum("entries__amount", filter=LATE)),
        lambda t, a: _total(_present(_entries(t, a, lambda e: e.at is not None and e.at >= MIDNIGHT))),
    ),
    "sum within a tolerance": Case(
        _rule(toy.Account, "balance", Sum("entries__amount"), tolerance=Decimal("0.01")),
        lambda t, a: _total(_present(_entries(t, a))),
        close=0.01,
    ),
    "sum of hidden rows alone": Case(
        _rule(toy.Account, "balance", Sum("entries__amount"), where=Q(hidden=True)),
        lambda t, a: _total(_present(_entries(t, a))) if a.hidden else a.balance,
    ),
    "count": Case(_rule(toy.Account, "entry_count", Count("entries")), lambda t, a: len(_entries(t, a))),
    "count of values": Case(
        _rule(toy.Account, "entry_count", Count("entries__amount")), lambda t, a: len(_present(_entries(t, a)))
    ),
    "count of different values": Case(
        _rule(toy.Account, "entry_count", Count("entries__amount", distinct=True)),
        lambda t, a: len(set(_present(_entries(t, a)))),
    ),
    "count with a filter on the parent": Case(
        _rule(toy.Account, "entry_count", Count("entries", filter=BIG)),
        lambda t, a: len(_entries(t, a, lambda e: e.amount is not None and e.amount > a.limit)),
    ),
    "maximum": Case(
        _rule(toy.Account, "highest", Max("entries__amount")),
        lambda t, a: max(_present(_entries(t, a)), default=None),
    ),
    "minimum with a default": Case(
        _rule(toy.Account, "highest", Min("entries__amount", default=Decimal(1))),
        lambda t, a: min(_present(_entries(t, a)), default=Decimal(1)),
    ),
    "mean": Case(_rule(toy.Account, "mean", Avg("entries__amount")), lambda t, a: _mean(_present(_entries(t, a)))),
    "latest": Case(
        _rule(toy.Account, "last_amount", Latest("entries__amount", by=["entries__at"])),
        lambda t, a: _last(_entries(t, a), _by_moment),
    ),
    "latest with a filter": Case(
        _rule(toy.Account, "last_amount", Latest("entries__amount", by=["entries__at"], filter=LIVE)),
        lambda t, a: _last(_entries(t, a, lambda e: not e.void), _by_moment),
    ),
    "two relations": Case(
        _rule(toy.Account, "balance", Sum("entries__amount") + Sum("hold__amount")),
        lambda t, a: _total(_present(_entries(t, a))) + (_hold(t, a) or 0),
    ),
    "a relation to one without an aggregate": Case(
        _rule(toy.Account, "balance", Sum("entries__amount") + Coalesce(F("hold__amount"), Value(Decimal(0)))),
        lambda t, a: _total(_present(_entries(t, a))) + (_hold(t, a) or 0),
    ),
    "many to many": Case(
        _rule(toy.Account, "club_points", Sum("clubs__points")),
        lambda t, a: sum(club.points for club in _clubs(t, a)),
    ),
    "many to many and a hop": Case(
        _rule(toy.Club, "points", Sum("accounts__entries__amount")),
        lambda t, c: _whole(_total(_present(_entries_of_members(t, c)))),
    ),
    "a hop, and many behind it": Case(
        _rule(toy.Account, "branch_accounts", Count("branch__accounts")),
        lambda t, a: sum(a.branch_id is not None and b.branch_id == a.branch_id for b in t[toy.Account]),
    ),
    "children of children": Case(
        _rule(toy.Account, "entry_count", Count("entries__parts")),
        lambda t, a: sum(part.entry_id in {e.id for e in _entries(t, a)} for part in t[toy.Part]),
    ),
    "generic relation": Case(
        _rule(toy.Account, "tag_weight", Sum("tags__weight")), lambda t, a: sum(_tags(t, toy.Account, a.id))
    ),
    "generic relation to a uuid": Case(
        _rule(toy.Box, "tag_weight", Sum("tags__weight")), lambda t, b: sum(_tags(t, toy.Box, b.id))
    ),
    "uuid keys": Case(
        _rule(toy.Box, "item_count", Count("items")),
        lambda t, b: sum(item.box_id == b.id for item in t[toy.Item]),
    ),
    "floats": Case(
        _rule(toy.Box, "weight", Sum("items__weight"), tolerance=1e-6),
        lambda t, b: sum(item.weight for item in t[toy.Item] if item.box_id == b.id),
        close=1e-6,
    ),
    "self-reference": Case(_rule(toy.Node, "child_count", Count("children")), lambda t, n: len(_children(t, n))),
    "self-reference that feeds itself": Case(
        _rule(toy.Node, "total", F("own") + Sum("children__total")),
        lambda t, n: n.own + sum(child.total for child in _children(t, n)),
    ),
    "foreign key to a text column": Case(
        _rule(toy.Region, "sales", Sum("sold__amount")), lambda t, r: sum(sale.amount for sale in _sales(t, r))
    ),
    "latest by index": Case(
        _rule(toy.Region, "sales", Latest("sold__amount", by=["sold__amount"], default=0)),
        lambda t, r: max((sale.amount for sale in _sales(t, r)), default=0),
    ),
    "multi-table inheritance": Case(
        _rule(toy.Employee, "hours", Sum("shifts__hours")),
        lambda t, e: sum(shift.hours for shift in t[toy.Shift] if shift.employee_id == e.person_ptr_id),
    ),
    "composite keys of text": Case(
        _rule(toy.Line, "shipped", PerKey(shipped, reads=[toy.Shipment], default=0)),
        lambda t, line: sum(s.quantity for s in t[toy.Shipment] if (s.order, s.number) == (line.order, line.number)),
    ),
}


def violations(case: Case) -> dict[Any, tuple[Any, Any]]:
    """What breaks a rule, found without the engine: key -> (actual, expected)."""
    t = read()
    model, (column,) = case.rule.model, case.rule.equals
    found = {}
    for row in t[model]:
        actual, expected = getattr(row, column), case.expected(t, row)
        if actual != expected and not (case.close and actual is not None and abs(actual - expected) <= case.close):
            found[tuple(getattr(row, key.attname) for key in case.rule.key_fields)] = (actual, expected)
    return found
