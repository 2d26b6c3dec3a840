"""Ends rides: what is in flight goes into history, hour by hour.

A flush adds the part of a session that is not in history yet to the row of the player, the device and the hour of the
session's last activity. Whoever flushes holds the locks of the players' rows, so a part is written once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from players.limits import forget_limits
from players.sql import affected, execute

IDLE = timedelta(minutes=5)
KEYS_ARE_KEPT = timedelta(hours=24)
BATCH = 500

# The first flush of an hour says whose hour it was: a bike that changes its group within an hour keeps the row's.
FLUSH = """
    INSERT INTO players_hourlymetric AS history
        (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment)
    SELECT s.player_id, s.device_id, date_trunc('hour', s.last_activity, 'UTC'), s.distance_km - s.flushed_km,
           COALESCE(d.group_id, (
               SELECT min(m.group_id) FROM players_membership m WHERE m.player_id = s.player_id
               AND NOT EXISTS (SELECT FROM players_group below WHERE below.parent_id = m.group_id))), false
    FROM players_opensession s JOIN players_device d ON d.id = s.device_id
    WHERE s.player_id = ANY(%s) AND s.distance_km > s.flushed_km ORDER BY s.player_id
    ON CONFLICT (player_id, hour, device_id, is_adjustment)
    DO UPDATE SET distance_km = history.distance_km + EXCLUDED.distance_km
"""
MARK_FLUSHED = "UPDATE players_opensession SET flushed_km = distance_km WHERE player_id = ANY(%s)"
CLOSE = "DELETE FROM players_opensession WHERE player_id = ANY(%s)"
IDLE_AFTER = """
    SELECT player_id FROM players_opensession WHERE last_activity < %s AND player_id > %s ORDER BY player_id LIMIT %s
"""
# Whoever rides now holds a lock, and is not idle: skipped instead of waited for, this takes part in no deadlock.
LOCK_PLAYERS = "SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"
STILL_IDLE = """
    SELECT player_id, distance_km - flushed_km FROM players_opensession WHERE player_id = ANY(%s) AND last_activity < %s
"""
COUNT_IDLE = """
    SELECT count(*), COALESCE(sum(distance_km - flushed_km), 0) FROM players_opensession WHERE last_activity < %s
"""
LOCK = "SELECT id FROM players_player WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE"
# A statement of its own after the lock: what was ridden while it waited is seen.
TAKE = (
    "SELECT player_id, distance_km - flushed_km FROM players_opensession WHERE player_id = ANY(%s) ORDER BY player_id"
)
FORGET_KEYS = """
    DELETE FROM players_idempotencykey WHERE id IN (
        SELECT id FROM players_idempotencykey WHERE at < %s LIMIT %s FOR UPDATE SKIP LOCKED)
"""


@dataclass(frozen=True)
class Closed:
    """What a run has closed (or a dry run would): sessions, and the kilometres that went into history.

    busy: idle sessions that somebody else held; the next run takes them.
    forgotten: requests whose Idempotency-Key is no longer kept.
    """

    sessions: int
    km: Decimal
    busy: int = 0
    forgotten: int = 0


def flush(players: Sequence[int]) -> None:
    """Write what is in flight for these players into history; their sessions go on.

    Inside a transaction that holds the rows of these players.
    """
    execute(FLUSH, [list(players)])
    execute(MARK_FLUSHED, [list(players)])


def close(players: Sequence[int]) -> None:
    """The same, and end the sessions."""
    execute(FLUSH, [list(players)])
    execute(CLOSE, [list(players)])


def close_sessions(players: Sequence[int]) -> Closed:
    """Close the sessions of these players now; whoever has none is left out."""
    # One transaction, and the players' rows first, as in a report: nothing is ridden between history and the end.
    with transaction.atomic():
        execute(LOCK, [list(players)])
        taken: list[tuple[int, Decimal]] = execute(TAKE, [list(players)])
        close([player for player, _ in taken])
        return Closed(len(taken), sum((km for _, km in taken), Decimal(0)))


def close_idle_sessions(idle: timedelta = IDLE, *, now: datetime | None = None, dry_run: bool = False) -> Closed:
    """Close the sessions without activity for so long, and forget the Idempotency-Keys of more than a day ago.

    Safe at any time and as often as wanted: a closed session is gone, so running it twice adds nothing.
    """
    now = now or timezone.now()
    until = now - idle
    if dry_run:
        [(sessions, km)] = execute(COUNT_IDLE, [until])
        return Closed(sessions, km)
    sessions, km = 0, Decimal(0)
    for batch in _idle_batches(until):
        taken = _close_batch(batch, until)
        sessions, km = sessions + len(taken), km + sum(km for _, km in taken)
    [(busy, _)] = execute(COUNT_IDLE, [until])
    forgotten = _forget_keys(now - KEYS_ARE_KEPT)
    forget_limits()
    return Closed(sessions, km, busy, forgotten)


def _idle_batches(until: datetime) -> Iterator[list[int]]:
    """Players with idle sessions, in the order of their ids; those that are busy are not met again."""
    batch = [player for (player,) in execute(IDLE_AFTER, [until, 0, BATCH])]
    while batch:
        yield batch
        batch = [player for (player,) in execute(IDLE_AFTER, [until, batch[-1], BATCH])]


def _close_batch(batch: list[int], until: datetime) -> list[tuple[int, Decimal]]:
    # One transaction per batch: between history and the end of the session nothing is counted twice, or not at all.
    with transaction.atomic(durable=True):
        locked = [player for (player,) in execute(LOCK_PLAYERS, [batch])]
        # In a statement after the lock: who has ridden on in between is not idle any more.
        taken: list[tuple[int, Decimal]] = execute(STILL_IDLE, [locked, until])
        if taken:
            close([player for player, _ in taken])
        return taken


def _forget_keys(until: datetime) -> int:
    forgotten = batch = affected(FORGET_KEYS, [until, BATCH])
    while batch == BATCH:
        batch = affected(FORGET_KEYS, [until, BATCH])
        forgotten += batch
    return forgotten
