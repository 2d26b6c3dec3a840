"""Records what a bike reports: `update_data`.

The order of the locks, for everybody who writes kilometres:

1. the device's row: two reports of one device follow each other, so nobody else opens a session on it meanwhile;
2. the rows of the players concerned, in the order of their ids: the rider, and who rode this device before;
3. their sessions and history, which belong to the players' rows;
4. the rows of the groups above the rider, in the order of their ids, last, since a whole school waits for them.

Nobody takes a device after a player or a player after a group, and a report holds one device, so reports wait for each
other and never in a circle. Locks are FOR NO KEY UPDATE: a foreign key that is checked at COMMIT never waits for them.
What moves groups and players in the tree (`players.placing`) takes 2 and 4 in the same order; the repairs of the engine
give up after 400 ms instead of waiting.
"""

import json
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from hashlib import sha256
from typing import Any, TypeVar

from django.db import OperationalError, transaction
from django.utils import timezone
from psycopg.types.json import Jsonb

from players.conf import conf
from players.exceptions import Invalid, Reused, Unknown, WrongKey
from players.models import ApiKey
from players.sessions import KEYS_ARE_KEPT, close, flush
from players.sql import execute

T = TypeVar("T")
PLACES = 5
KM_TEXT = r"\d{1,10}(\.\d{1,20})?"
DEADLOCK, SERIALIZATION, LOCK_TIMEOUT = "40P01", "40001", "55P03"
ATTEMPTS = 4

LOCK_DEVICE = "SELECT id, collects FROM players_device WHERE lower(name) = lower(%s) FOR NO KEY UPDATE"
# Ids come from a subquery that is evaluated once, not from a join: where a statement that locks has a join, and two of
# its rows have moved while it waited, PostgreSQL may leave the second one out (seen on 18 with Memoize in the plan).
LOCK_PLAYERS = """
    SELECT id, collects, lower(id_tag) = lower(%(tag)s) FROM players_player
    WHERE id = ANY(ARRAY(
        SELECT id FROM players_player WHERE lower(id_tag) = lower(%(tag)s)
        UNION ALL SELECT player_id FROM players_opensession WHERE device_id = %(device)s))
    ORDER BY id FOR NO KEY UPDATE
"""
# Opens the session or goes on with it, and moves the master and the groups above with it, in one statement since every
# report of every bike waits for each. It finds no row, and writes nothing, where something must end first: the session
# is on another device, or has a part in flight that belongs to an earlier hour. The groups are locked in the order of
# their ids before the first is written; UNION, not UNION ALL, has a school above two classes of the rider once.
RIDE = """
    WITH ridden AS (
        INSERT INTO players_opensession AS session
            (player_id, device_id, started_at, last_activity, distance_km, flushed_km)
        VALUES (%(player)s, %(device)s, %(now)s, %(now)s, %(km)s, 0)
        ON CONFLICT (player_id) DO UPDATE
        SET distance_km = session.distance_km + EXCLUDED.distance_km,
            last_activity = greatest(session.last_activity, EXCLUDED.last_activity)
        WHERE session.device_id = EXCLUDED.device_id AND (
            EXCLUDED.last_activity < date_trunc('hour', session.last_activity, 'UTC') + interval '1 hour'
            OR session.flushed_km = session.distance_km)
        RETURNING distance_km
    ), master AS (
        UPDATE players_player
        SET distance_total = distance_total + %(km)s, last_active = greatest(last_active, %(now)s)
        WHERE id = %(player)s AND EXISTS (SELECT FROM ridden) RETURNING distance_total
    ), groups AS (
        UPDATE players_group SET distance_total = distance_total + %(km)s WHERE id = ANY(ARRAY(
            SELECT id FROM players_group WHERE id = ANY(ARRAY(
                WITH RECURSIVE above (id, parent_id) AS (
                    SELECT g.id, g.parent_id FROM players_membership m JOIN players_group g ON g.id = m.group_id
                    WHERE m.player_id = %(player)s AND %(km)s > 0 AND EXISTS (SELECT FROM ridden)
                    UNION SELECT g.id, g.parent_id FROM above JOIN players_group g ON g.id = above.parent_id
                )
                SELECT id FROM above))
            ORDER BY id FOR NO KEY UPDATE))
    )
    SELECT distance_total, distance_km FROM master, ridden
"""
SESSIONS = "SELECT player_id, device_id FROM players_opensession WHERE player_id = ANY(%s)"
FIRST_ANSWER = "SELECT body_hash, answer FROM players_idempotencykey WHERE device_id = %s AND key = %s AND at > %s"
# A key of more than a day ago is free again, whether it has been removed or not.
KEEP_ANSWER = """
    INSERT INTO players_idempotencykey (device_id, key, body_hash, answer, at) VALUES (%s, %s, %s, %s, %s)
    ON CONFLICT (device_id, key)
    DO UPDATE SET body_hash = EXCLUDED.body_hash, answer = EXCLUDED.answer, at = EXCLUDED.at
"""


@dataclass(frozen=True)
class Report:
    """What a device says: who rides it, which one it is, and how far since its last report.

    The device is named as it names itself; upper and lower case are one, in the tag as well.
    """

    id_tag: str
    device_id: str
    distance: Decimal

    def body_hash(self) -> str:
        """The same for the same report, however it was written."""
        parts = (self.id_tag.lower(), self.device_id.lower(), f"{self.distance:.{PLACES}f}")
        return sha256("\0".join(parts).encode()).hexdigest()


@dataclass(frozen=True)
class Answer:
    """What became of a report: kilometres of the player in all and since the start of the ride, unless skipped."""

    skipped: bool
    distance_total: Decimal | None = None
    session_km: Decimal | None = None


def update_data(
    report: Report,
    key: ApiKey,
    idempotency_key: str | None = None,
    *,
    clock: Callable[[], datetime] = timezone.now,
) -> Answer:
    """Add a report to the player, the session and, once each, the groups above; all of it or nothing.

    With an Idempotency-Key the same report again gets the first answer and moves nothing. Answers are kept, refusals
    are not. Raises Invalid, WrongKey, Unknown and Reused, and OperationalError where the database cannot do it.
    """
    check_distance(report.distance)
    return _again_after_a_deadlock(lambda: _record(report, key, idempotency_key, clock))


def kilometres(value: object) -> Decimal:
    """The distance that a number or its text says. Raises Invalid."""
    if isinstance(value, str):
        # Decimal reads more than that: underscores, blanks, digits of every script.
        value = Decimal(value) if re.fullmatch(KM_TEXT, value, re.ASCII) else None
    elif isinstance(value, float):
        value = Decimal(str(value))  # what the sender wrote: 0.1 and not 0.1000000000000000055
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise Invalid("Give the distance in km as a number.", "distance")
    return check_distance(Decimal(value))


def check_distance(km: Decimal) -> Decimal:
    """A distance as the database keeps it. Raises Invalid."""
    most = conf().MAX_DISTANCE_KM
    if not km.is_finite() or not 0 <= km <= most:
        raise Invalid(f"A report takes 0 to {most} km.", "distance")
    # Bounded already, so that neither an exponent nor a row of digits can make this expensive.
    if km != round(km, PLACES):
        raise Invalid(f"Give the distance in km with at most {PLACES} places.", "distance")
    return abs(round(km, PLACES))


def _record(report: Report, key: ApiKey, idempotency_key: str | None, clock: Callable[[], datetime]) -> Answer:
    # Durable: the answer is given after the COMMIT, and what is not committed is as if it had never been reported.
    with transaction.atomic(durable=True):
        device, collects = _lock_device(report, key)
        if idempotency_key and (first := _first_answer(device, idempotency_key, report, clock())):
            return first
        rider, others = _lock_players(report, device)
        now = clock()  # after the locks: whoever waited rides later than who came first
        if collects and rider.collects:
            answer = _ride(rider, others, device, report.distance, now)
        else:
            answer = Answer(skipped=True)
        if idempotency_key:
            execute(KEEP_ANSWER, [device, idempotency_key, report.body_hash(), Jsonb(_as_json(answer)), now])
        return answer


@dataclass(frozen=True)
class _Rider:
    id: int
    collects: bool


def _lock_device(report: Report, key: ApiKey) -> tuple[int, bool]:
    """The id of the device, and whether it collects."""
    found = execute(LOCK_DEVICE, [report.device_id])
    if key.device_id is not None and (not found or found[0][0] != key.device_id):
        # Also for a device that does not exist: a key tells nothing about devices other than its own.
        raise WrongKey("This API key belongs to another device.", "device_id")
    if not found:
        raise Unknown(f"There is no device {report.device_id!r}.", "device_id")
    [(device, collects)] = found
    return device, collects


def _lock_players(report: Report, device: int) -> tuple[_Rider, list[int]]:
    """The rider, and the ids of others whose session is open on the device."""
    found = execute(LOCK_PLAYERS, {"tag": report.id_tag, "device": device})
    riders = [_Rider(player, collects) for player, collects, rides in found if rides]
    if not riders:
        raise Unknown(f"There is no player with the ID tag {report.id_tag!r}.", "id_tag")
    return riders[0], [player for player, _, rides in found if not rides]


def _ride(rider: _Rider, others: list[int], device: int, km: Decimal, now: datetime) -> Answer:
    values = {"player": rider.id, "device": device, "km": km, "now": now}
    if others or not (found := execute(RIDE, values)):
        _end_what_is_over(rider, others, device)
        found = execute(RIDE, values)
    [(distance_total, session_km)] = found
    return Answer(skipped=False, distance_total=distance_total, session_km=session_km)


def _end_what_is_over(rider: _Rider, others: list[int], device: int) -> None:
    """Close the sessions of others on this device and the rider's on another; flush the rider's on this one."""
    # In a statement after the locks: what these players did until then is committed and seen.
    sessions = execute(SESSIONS, [[rider.id, *others]])
    closing = [player for player, on in sessions if (on == device) != (player == rider.id)]
    if closing:
        close(closing)
    if (rider.id, device) in sessions:
        flush([rider.id])


def _first_answer(device: int, key: str, report: Report, now: datetime) -> Answer | None:
    for body_hash, answer in execute(FIRST_ANSWER, [device, key, now - KEYS_ARE_KEPT]):
        if body_hash != report.body_hash():
            raise Reused("This Idempotency-Key came with another body before: take a new one.", "Idempotency-Key")
        return _from_json(answer)
    return None


def _as_json(answer: Answer) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in asdict(answer).items()}


def _from_json(text: str) -> Answer:
    kept = json.loads(text)
    if kept["skipped"]:
        return Answer(skipped=True)
    return Answer(skipped=False, distance_total=Decimal(kept["distance_total"]), session_km=Decimal(kept["session_km"]))


def _again_after_a_deadlock(attempt: Callable[[], T]) -> T:
    """Try a transaction again that was rolled back for the sake of others: nothing of it has stayed."""
    for pause in _pauses():
        try:
            return attempt()
        except OperationalError as error:
            if getattr(error.__cause__, "sqlstate", None) not in (DEADLOCK, SERIALIZATION, LOCK_TIMEOUT):
                raise
            time.sleep(pause)
    return attempt()


def _pauses() -> Iterator[float]:
    return (0.02 * 2**number for number in range(ATTEMPTS - 1))
