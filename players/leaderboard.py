"""Who has ridden most: visible players and groups by their current totals, the master and what is derived from it."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db.models import Exists, OuterRef, QuerySet

from players.exceptions import Unknown
from players.models import Group, Membership, Player
from players.tree import descendants


@dataclass(frozen=True)
class Standing:
    """One line. Equal totals share a rank, and the next rank is as much further on as there are equals."""

    rank: int
    id: int
    name: str
    distance_total: Decimal


@dataclass(frozen=True)
class Leaderboard:
    """The players and the groups of one page; `group` is the group that it was cut to, None for everybody.

    next_offset: where the next page begins, None when neither list goes on.
    """

    group: Group | None
    players: list[Standing]
    groups: list[Standing]
    next_offset: int | None


def leaderboard(group: int | None = None, limit: int = 20, *, offset: int = 0) -> Leaderboard:
    """The highest totals among the players of a group's subtree and among the groups below it.

    Hidden players and groups have no line; the totals of groups hold them all the same. Three statements, or five on a
    later page. Raises Unknown for a group that does not exist or is hidden.
    """
    top = None if group is None else visible_group(group)
    players, groups = Player.objects.filter(is_visible=True), Group.objects.filter(is_visible=True)
    if top is not None:
        # One walk down for both lists, instead of one inside each statement.
        inside = list(descendants(top.pk))
        players = players.filter(Exists(Membership.objects.filter(player=OuterRef("pk"), group__in=inside)))
        groups = groups.filter(pk__in=inside).exclude(pk=top.pk)
    standings = [_page(rows, limit, offset) for rows in (players, groups)]
    more = any(len(lines) > limit for lines in standings)
    shown_players, shown_groups = (lines[:limit] for lines in standings)
    return Leaderboard(top, shown_players, shown_groups, offset + limit if more else None)


def visible_group(group: int) -> Group:
    """Raises Unknown for a group that does not exist or is hidden."""
    found = Group.objects.filter(pk=group, is_visible=True).first()
    if found is None:
        raise Unknown(f"There is no group {group}.", "group")
    return found


def _page(rows: "QuerySet[Any]", limit: int, offset: int) -> list[Standing]:
    """One line more than the page holds, so that the end of a list is known."""
    found = list(rows.order_by("-distance_total", "pk").only("name", "distance_total")[offset : offset + limit + 1])
    if not found:
        return []
    first = found[0].distance_total
    # Ranks are counted from the first line: a window function would sort every player for the sake of one page.
    ahead = rows.filter(distance_total__gt=first).count() if offset else 0
    return _ranked(found, offset, ahead)


def _ranked(found: Sequence[Any], offset: int, ahead: int) -> list[Standing]:
    lines: list[Standing] = []
    for position, row in enumerate(found, start=offset + 1):
        if not lines:
            rank = ahead + 1
        elif row.distance_total != lines[-1].distance_total:
            rank = position
        lines.append(Standing(rank, row.pk, row.name, row.distance_total))
    return lines
