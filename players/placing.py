"""Where players and groups stand in the tree, and the totals that follow them when they move.

A total is moved by what its players bring or take, never set: a difference that was there before stays visible, for the
rule to report and a repair to mend. Locks are taken in one order, as by every writer: players, then groups, by id.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal

from django.db import connection, transaction
from django.db.models import F

from players.exceptions import Invalid
from players.models import Group, Membership, Player
from players.tree import ancestors, descendants, subtree_totals

# The lock of the trigger group_tree_has_no_cycle, taken before the walk instead of at COMMIT.
ONE_MOVE_AT_A_TIME = "SELECT pg_advisory_xact_lock(hashtextextended('players_group.parent', 0))"
GROUP_COLUMNS = ["name", "kind", "parent", "is_visible"]
PLAYER_COLUMNS = ["name", "id_tag", "is_visible", "collects"]


def place_group(group: Group) -> None:
    """Save a group, new or changed, and move the totals of what it leaves and of what it comes to.

    `distance_total` is not written from the object, which may be older than the row. Raises Invalid for a parent in the
    group's own subtree.
    """
    # Two moves at a time could close a cycle that neither sees, and move a total for players who have left.
    with transaction.atomic():
        _wait_for_other_moves()
        if group.pk is None:
            group.distance_total = Decimal(0)
            group.save(force_insert=True)
            return
        above = list(ancestors([group.parent_id])) if group.parent_id else []
        if group.pk in above:
            raise Invalid(
                f'Group "{group}" cannot be its own ancestor: choose a parent outside of its subtree.', "parent"
            )
        was = Group.objects.values_list("parent", flat=True).get(pk=group.pk)
        moved = was != group.parent_id
        if moved:
            # Their ids first: PostgreSQL may leave a row out that moves while a join waits for its lock.
            members = Membership.objects.filter(group__in=list(descendants(group.pk)))
            riders = list(members.values_list("player", flat=True).distinct())
            # Whoever rides now waits: its distance goes where the tree says when the ride was recorded.
            list(Player.objects.select_for_update(no_key=True).filter(pk__in=riders).order_by("pk").values_list("pk"))
            concerned = lock_groups({*above, *(ancestors([was]) if was else [])})
            before = _totals(concerned)
        group.save(update_fields=GROUP_COLUMNS)
        if moved:
            after = _totals(concerned)
            _move({pk: after[pk] - before[pk] for pk in concerned})


def place_player(player: Player, groups: Iterable[int]) -> None:
    """Save a player, new or changed, as a member of exactly these groups; the totals above follow.

    `distance_total` and `last_active` are not written from the object, which may be older than the row.
    """
    wanted = set(groups)
    # The player's row is locked from the start: a ride recorded in between would count for the groups that it leaves.
    with transaction.atomic():
        _wait_for_other_moves()
        if player.pk is None:
            player.distance_total = Decimal(0)
            player.save(force_insert=True)
        locked = Player.objects.select_for_update().get(pk=player.pk)
        player.save(update_fields=PLAYER_COLUMNS)
        had = set(Membership.objects.filter(player=player).values_list("group_id", flat=True))
        if had == wanted:
            return
        above, above_now = set(ancestors(had)), set(ancestors(wanted))
        lock_groups(above | above_now)
        Membership.objects.filter(player=player, group__in=had - wanted).delete()
        Membership.objects.bulk_create([Membership(player=player, group_id=pk) for pk in sorted(wanted - had)])
        _move(dict.fromkeys(above - above_now, -locked.distance_total))
        _move(dict.fromkeys(above_now - above, locked.distance_total))


def remove_player(player: Player) -> None:
    """Delete a player, who takes its distance out of its groups. Raises ProtectedError where there is history."""
    # In one transaction: a player who cannot be deleted stays in its groups.
    with transaction.atomic():
        place_player(player, ())
        player.delete()


def groups_above(player: int) -> list[int]:
    """The distinct groups that a player counts for, in the order to lock them in."""
    return list(ancestors(Membership.objects.filter(player=player).values_list("group_id", flat=True)))


def lock_groups(groups: Iterable[int]) -> Sequence[int]:
    """Lock groups in the order of their ids until the transaction ends. Their ids."""
    rows = Group.objects.select_for_update(no_key=True).filter(pk__in=list(groups)).order_by("pk")
    return list(rows.values_list("pk", flat=True))


def _wait_for_other_moves() -> None:
    with connection.cursor() as cursor:
        cursor.execute(ONE_MOVE_AT_A_TIME)


def _totals(groups: Sequence[int]) -> dict[int, Decimal]:
    return {row["key"]: row["value"] for row in subtree_totals() if row["key"] in set(groups)}


def _move(by: dict[int, Decimal]) -> None:
    for group, km in sorted(by.items()):
        if km:
            Group.objects.filter(pk=group).update(distance_total=F("distance_total") + km)
