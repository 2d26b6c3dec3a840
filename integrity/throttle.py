"""Giving way between batches: to whoever asks for it, to replicas that lag, to a vacuum, and to those behind our locks.

Between batches nothing is held, so that waiting there is in nobody's way.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from integrity import deadline, events
from integrity.conf import conf
from integrity.exceptions import Cancelled
from integrity.models import Run
from integrity.observer import Observer
from integrity.repairing.holding import Holding
from integrity.statement import Statement, fetch

POLL_SECONDS = 0.2
PAUSED, LAG, VACUUM, LOCKS = "pause", "replication lag", "vacuum", "lock waits"
"""What a run waits for, as its record has it."""

_LOOK = """
    SELECT r.asked, r.asked_by,
        (SELECT max(extract(epoch FROM replay_lag))::float FROM pg_stat_replication) AS lag,
        (SELECT string_agg(relid::regclass::text, ', ') FROM pg_stat_progress_vacuum
         WHERE datname = current_database() AND relid = ANY(
             SELECT to_regclass(quote_ident(t)) FROM unnest(%s::text[]) AS t)) AS vacuumed
    FROM integrity_run AS r WHERE r.id = %s
"""
# Our own heartbeat, and whoever asks us to pause, wait for the row of the run, or of our part of it, alone.
_BEHIND_US = """
    SELECT count(*) AS waiting FROM pg_stat_activity AS a
    WHERE wait_event_type = 'Lock' AND pg_backend_pid() = ANY(pg_blocking_pids(pid)) AND NOT EXISTS (
        SELECT FROM pg_locks AS l
        WHERE l.pid = a.pid AND l.locktype = 'tuple'
        AND l.relation IN ('integrity_run'::regclass, 'integrity_part'::regclass))
"""


class Reason(NamedTuple):
    """What is in the way: a word, and a sentence for people."""

    word: str
    why: str


class Throttle:
    """Holds one run back.

    waited: seconds by what it has waited for. kept_waiting: how many sessions waited for locks of the last batch.
    """

    def __init__(self, holding: Holding, tables: Iterable[str], observer: Observer) -> None:
        self.run, self.holding, self.tables, self.observer = holding.run, holding, sorted(tables), observer
        self.connection = connections[DEFAULT_DB_ALIAS]
        self.waited: dict[str, float] = {}
        self.before = holding.waited
        self.kept_waiting = 0
        self._told = ""
        self._since_vacuum: float | None = None

    def give_way(self, lasted: float = 0.0) -> None:
        """Come back when nothing is in the way. Raises Cancelled.

        lasted: seconds of the batch before; others who waited for its locks get as long for themselves.
        """
        if self.kept_waiting:
            many = "1 session waits" if self.kept_waiting == 1 else f"{self.kept_waiting} sessions wait"
            self.kept_waiting = 0
            self._wait(Reason(LOCKS, f"{many} for rows of the last batch"), min(lasted, conf().BATCH_SECONDS))
        while reason := self._in_the_way():
            self._wait(reason, POLL_SECONDS)
        self._tell("")

    def notice(self) -> None:
        """Count who waits for our locks; called while they are held."""
        self.kept_waiting = int(fetch(self.connection, Statement(_BEHIND_US))[0]["waiting"])

    def _in_the_way(self) -> Reason | None:
        if deadline.has_passed():
            raise Cancelled(
                "The time for it was over. What was committed stays; the same command goes on with the rest."
            )
        (seen,) = fetch(self.connection, Statement(_LOOK, (self.tables, self.run.pk)))
        if seen["asked"] == Run.Asked.CANCEL:
            raise Cancelled(
                f"Cancelled by {seen['asked_by']}. What was committed stays; the same command goes on with the rest."
            )
        if seen["asked"] == Run.Asked.PAUSE:
            self.holding.pause()
            return Reason(PAUSED, f"paused by {seen['asked_by']}; manage.py integrity resume {self.run.pk}")
        limit = conf().REPLICATION_LAG_SECONDS
        if limit and seen["lag"] is not None and seen["lag"] > limit:
            return Reason(LAG, f"a replica is {seen['lag']:.1f} s behind, more than {limit:g} s")
        return self._vacuum(seen["vacuumed"])

    def _vacuum(self, tables: str | None) -> Reason | None:
        """A vacuum of a large table lasts for hours, so that patience with each ends."""
        if not tables:
            self._since_vacuum = None
            return None
        self._since_vacuum = self._since_vacuum or time.monotonic()
        if time.monotonic() - self._since_vacuum >= conf().VACUUM_WAIT_SECONDS:
            return None
        return Reason(VACUUM, f"a vacuum works on {tables}")

    def _wait(self, reason: Reason, seconds: float) -> None:
        self._tell(reason.why)
        started = time.monotonic()
        time.sleep(seconds)
        waited = self.waited.get(reason.word, 0.0) + time.monotonic() - started
        self.waited[reason.word] = round(waited, 3)

    def _tell(self, why: str) -> None:
        if why == self._told:
            return
        self._told = why
        self.observer.waits(why)
        words = {**self.before, **self.waited}
        waited = {word: round(self.before.get(word, 0) + self.waited.get(word, 0), 3) for word in words}
        self.holding.wait(why, waited)
        events.waits(self.run, why)
