"""The group tree, read with recursive queries: what lies below a group, and what lies above it.

Both walk distinct rows (UNION, not UNION ALL), so they end even where a cycle got past the trigger.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from django.db.models import Count, DecimalField, F, QuerySet, Sum
from django.db.models.functions import Coalesce
from django.db.models.sql.constants import LOUTER
from django_cte import CTE, with_cte

from players.models import Group, Membership, Player

KM = DecimalField(max_digits=15, decimal_places=5)


def subtree_totals() -> "QuerySet[Group, dict[str, Any]]":
    """What each group's `distance_total` should be: rows of `key` (group id) and `value` (km), one per group.

    The value is the sum of `distance_total` over the distinct players of the group and all groups below it: a player
    in two classes of a school counts once in the school. Hidden players count; a group without players has 0.
    """
    below, riders = _riders_below()
    totals = CTE(
        riders.join(Player, id=riders.col.player_id).values(root=riders.col.root).annotate(km=Sum("distance_total")),
        name="totals",
    )
    every_group = totals.join(Group, id=totals.col.root, _join_type=LOUTER)
    value = Coalesce(totals.col.km, Decimal(0), output_field=KM)
    rows: QuerySet[Group, dict[str, Any]] = with_cte(
        below, riders, totals, select=every_group.values(key=F("id"), value=value)
    )
    return rows


def subtree_riders() -> dict[int, int]:
    """The number of distinct players of each group's subtree, by group id; groups without any are left out."""
    below, riders = _riders_below()
    counted = riders.queryset().values_list(riders.col.root).annotate(n=Count("player_id")).order_by()
    return dict(with_cte(below, riders, select=counted))


def ancestors(groups: Iterable[int]) -> "QuerySet[Group, int]":
    """The ids of `groups` and of every group above them, each once, in ascending order (the order to lock them in)."""
    start = list(groups)
    if not start:
        # Django leaves an empty branch out of a UNION, and half a recursion is none.
        return Group.objects.none().values_list("id", flat=True)

    def pairs(above: CTE) -> "QuerySet[Any, Any]":
        first = Group.objects.filter(id__in=start).values("parent_id", node=F("id"))
        return first.union(above.join(Group, id=above.col.parent_id).values("parent_id", node=F("id")))

    above = CTE.recursive(pairs, name="above")
    ids: QuerySet[Group, int] = with_cte(above, select=above.join(Group, id=above.col.node)).values_list(
        "id", flat=True
    )
    return ids.order_by("id")


def descendants(group: int) -> "QuerySet[Group, int]":
    """The ids of `group` and of every group below it, each once."""

    def nodes(below: CTE) -> "QuerySet[Any, Any]":
        return (
            Group.objects.filter(id=group)
            .values(node=F("id"))
            .union(below.join(Group, parent_id=below.col.node).values(node=F("id")))
        )

    below = CTE.recursive(nodes, name="below")
    ids: QuerySet[Group, int] = with_cte(below, select=below.join(Group, id=below.col.node)).values_list(
        "id", flat=True
    )
    return ids


def _riders_below() -> tuple[CTE, CTE]:
    """Every distinct (root, player_id), and the pairs of groups that it is read from."""
    below = CTE.recursive(_pairs_below, name="below")
    riders = CTE(
        below.join(Membership, group_id=below.col.node).values("player_id", root=below.col.root).distinct(),
        name="riders",
    )
    return below, riders


def _pairs_below(below: CTE) -> "QuerySet[Any, Any]":
    """Every (root, node): each group with itself, then with each child of a node it has already."""
    itself = Group.objects.values(root=F("id"), node=F("id"))
    return itself.union(below.join(Group, parent_id=below.col.node).values(root=below.col.root, node=F("id")))
