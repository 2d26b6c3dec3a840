"""Who still sees the database as it was before a transaction, and would find a table empty that was filled by it."""

from __future__ import annotations

import time
from typing import Any

from integrity.exceptions import EngineError
from integrity.statement import Statement, fetch


class NotFinished(EngineError):
    """Something else did not make room in time; nothing was changed."""


# Vacuum and replication hold old snapshots too, and read no table by its name.
_OLDER = """
SELECT a.pid, virtualtransaction, backend_xmin::text AS xmin, coalesce(usename, '?') AS usename,
    coalesce(nullif(application_name, ''), 'unnamed') AS application,
    round(extract(epoch FROM clock_timestamp() - xact_start)) AS seconds
FROM pg_stat_activity AS a
JOIN pg_locks AS l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.mode = 'ExclusiveLock'
WHERE datname = current_database() AND a.pid <> pg_backend_pid() AND backend_xmin IS NOT NULL
AND backend_type NOT IN ('autovacuum worker', 'walsender') AND age(backend_xmin) >= age(%s::text::xid)
ORDER BY a.pid"""

Holder = tuple[int, str, str]


def current_transaction(connection: Any) -> str:
    """The number of this transaction."""
    return str(fetch(connection, Statement("SELECT pg_current_xact_id()::xid::text AS x"))[0]["x"])


class Older:
    """Those whose snapshot is older than a transaction. Made right after its commit: who comes later sees its rows.

    Snapshots that merely look old because somebody else has been writing for long are left out only by that.
    """

    def __init__(self, transaction: str, connection: Any) -> None:
        self.transaction, self.connection = transaction, connection
        self.rows = self._look()
        self.waited = set(self.rows)

    def wait(self, deadline: float) -> None:
        """Until none of them is left, as CREATE INDEX CONCURRENTLY does. Raises NotFinished naming who is still there
        at ``deadline``, of time.monotonic().
        """
        pause = 0.002
        while self.waited:
            if time.monotonic() > deadline:
                raise NotFinished(
                    f"{self._described()} began before the clean table was filled and would see it without its rows."
                    " Nothing was changed. Wait for it, or end it (pg_terminate_backend), and repair again."
                )
            time.sleep(pause)
            pause = min(pause * 2, 0.2)
            self.rows = self._look()
            self.waited &= set(self.rows)

    def _look(self) -> dict[Holder, dict[str, Any]]:
        found = fetch(self.connection, Statement(_OLDER, (self.transaction,)))
        return {(row["pid"], row["virtualtransaction"], row["xmin"]): row for row in found}

    def _described(self) -> str:
        rows = [self.rows[holder] for holder in sorted(self.waited)]
        return ", ".join(
            f"process {row['pid']} ({row['usename']}, {row['application']}, for {row['seconds']} s)" for row in rows
        )
