"""Short transactions over a table that others use: nobody waits for them longer than ``lock_timeout``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from psycopg import errors

from integrity import locking
from integrity.conf import conf
from integrity.rebuilding.snapshots import NotFinished
from integrity.statement import Statement, run

_PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.QueryCanceled)


class Brief:
    """Runs statements within LOCK_TIMEOUT_MS altogether; one that would take longer is cancelled by the server."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.ends = time.monotonic() + conf().LOCK_TIMEOUT_MS / 1000

    def limit(self) -> None:
        """What is left of the time is the limit of what comes next; waiting for a lock may take half of it."""
        left = max(1, int((self.ends - time.monotonic()) * 1000))
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('statement_timeout', %s, true), set_config('lock_timeout', %s, true)",
                [f"{left}ms", f"{max(1, left // 2)}ms"],
            )

    def run(self, statements: Iterable[Statement]) -> None:
        for statement in statements:
            self.limit()
            run(self.connection, statement)


def patiently(work: Callable[[], None], oid: int, table: str, connection: Any) -> None:
    """Do ``work``, a transaction, again while somebody is in the way, for SWAP_SECONDS.

    Raises NotFinished naming who holds the table.
    """

    def refusal() -> NotFinished:
        return NotFinished(
            f"{table} was not free for {conf().LOCK_TIMEOUT_MS} ms in {conf().SWAP_SECONDS:g} s:"
            f" {locking.holders([oid], connection) or 'others'} hold it. Nothing was changed. Repair again when they"
            " have ended."
        )

    locking.patiently(work, lambda error: isinstance(error.__cause__, _PASSING), refusal)
