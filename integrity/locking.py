"""Locks on tables that people go on using: on all of them at once, and who has them where they cannot be had."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, TypeVar

from django.db import DatabaseError, transaction
from psycopg import errors

from integrity.conf import conf
from integrity.exceptions import EngineError
from integrity.statement import Statement, compose, fetch, joined, name, run

WRITERS = "SHARE ROW EXCLUSIVE"
"""The mode that keeps writers out and lets readers in."""
EVERYBODY = "ACCESS EXCLUSIVE"
_TOLD = 3
T = TypeVar("T")


def lock_together(tables: Sequence[str], connection: Any, *, seconds: float | None = None) -> None:
    """Lock several tables against writers, all of them or none, without waiting for one while another one is held.

    Where triggers carry writes from one table to another, whoever waits for the second finds behind it the very writers
    that wait for the first. seconds: how long to try; LOCK_TIMEOUT_MS by default. Inside a transaction that has locked
    nothing else. Raises DatabaseError (see is_passing()) where they were not all free at one moment.
    """
    ends = time.monotonic() + (conf().LOCK_TIMEOUT_MS / 1000 if seconds is None else seconds)
    for attempt in count():
        # Mostly nobody is made to wait. Now and then one table is queued for, or it would never be free of a crowd that
        # leaves the other ones alone.
        turn, queues = divmod(attempt, 8)
        first = [tables[turn % len(tables)]] if queues == 7 else []
        try:
            with transaction.atomic():
                _lock(first, [table for table in tables if table not in first], connection)
            return
        except DatabaseError as error:
            if not isinstance(error.__cause__, errors.LockNotAvailable) or time.monotonic() > ends:
                raise
        time.sleep(random.uniform(0.0005, 0.004))  # noqa: S311


def _lock(queued: Sequence[str], others: Sequence[str], connection: Any) -> None:
    usual = fetch(connection, Statement("SELECT current_setting('lock_timeout') AS held"))[0]["held"]
    if queued:
        _wait_for_locks(f"{max(1, conf().LOCK_TIMEOUT_MS // 8)}ms", connection)
        run(connection, _locked(queued, WRITERS))
        _wait_for_locks(usual, connection)
    if others:
        run(connection, compose("{lock} NOWAIT", lock=_locked(others, WRITERS)))


def lock_alone(tables: Sequence[str], connection: Any) -> None:
    """Keep readers out as well, of tables that are locked already. Waits as ``lock_timeout`` says."""
    run(connection, _locked(tables, EVERYBODY))


def _locked(tables: Sequence[str], mode: str) -> Statement:
    return compose("LOCK TABLE {tables} IN {mode} MODE", tables=joined(", ", map(name, tables)), mode=Statement(mode))


def _wait_for_locks(limit: str, connection: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [limit])


def patiently(work: Callable[[], T], passing: Callable[[DatabaseError], bool], refusal: Callable[[], EngineError]) -> T:
    """Do ``work``, a transaction, again while somebody is in the way, for SWAP_SECONDS; then raise ``refusal``."""
    ends = time.monotonic() + conf().SWAP_SECONDS
    for attempt in count():
        try:
            return work()
        except DatabaseError as error:
            if not passing(error):
                raise
            if time.monotonic() > ends:
                raise refusal() from error
        # Random, so that two that collided do not collide again; those who queued up behind us go first.
        time.sleep(min(0.05 * 2**attempt, 1.0) * (0.5 + random.random()))  # noqa: S311
    raise AssertionError


def holders(oids: Sequence[int], connection: Any) -> str:
    """Who has some tables locked now, those first who have had it longest, for a sentence."""
    rows = fetch(
        connection,
        Statement(
            "SELECT a.pid, coalesce(usename, '?') AS usename, string_agg(DISTINCT c.relname, ' and ') AS held,"
            " coalesce(nullif(application_name, ''), nullif(backend_type, 'client backend'), 'unnamed') AS application,"
            " greatest(0, round(extract(epoch FROM clock_timestamp() - xact_start))) AS seconds"
            " FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid JOIN pg_class AS c ON c.oid = relation"
            " WHERE granted AND relation = ANY(%s::oid[]) AND a.pid <> pg_backend_pid()"
            " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            " GROUP BY a.pid, usename, application_name, backend_type, xact_start ORDER BY xact_start, a.pid",
            (list(oids),),
        ),
    )
    told = [
        f"process {r['pid']} ({r['usename']}, {r['application']}, for {r['seconds']} s: {r['held']})"
        for r in rows[:_TOLD]
    ]
    return ", ".join([*told, *([f"{len(rows) - _TOLD} more"] if len(rows) > _TOLD else [])])


def oids_of(tables: Sequence[str], connection: Any) -> list[int]:
    """The numbers of those tables that the search path leads to."""
    found = fetch(
        connection,
        Statement("SELECT to_regclass(quote_ident(t))::oid AS oid FROM unnest(%s::text[]) AS t", (list(tables),)),
    )
    return [row["oid"] for row in found if row["oid"]]
