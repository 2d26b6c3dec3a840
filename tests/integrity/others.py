"""Other users of the database, on connections and in threads of their own, with real commits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Self

import psycopg
from django.db import connection


class Other:
    """A user with one transaction at a time. Nothing of it stays unless it commits."""

    def __enter__(self) -> Self:
        parameters = connection.get_connection_params()
        parameters = {k: v for k, v in parameters.items() if k in {"dbname", "host", "port", "user", "password"}}
        self.connection = psycopg.connect(**parameters)
        self.watch = psycopg.connect(**parameters, autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.watch.close()

    def begin(self, statement: str, params: Sequence[Any] | Mapping[str, Any] = ()) -> int:
        """A statement of a transaction that goes on. The rows that it met."""
        return self.connection.execute(statement, params).rowcount

    def commit(self) -> None:
        self.connection.commit()

    def rollback(self) -> None:
        self.connection.rollback()

    def commits(self, statement: str, params: Sequence[Any] = ()) -> None:
        """A transaction of one statement."""
        self.begin(statement, params)
        self.commit()

    @property
    def pid(self) -> int:
        return self.connection.info.backend_pid

    # What an administrator does

    def terminate(self, pid: int) -> None:
        """End a backend and wait until it has gone."""
        self.watch.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    def cancel(self, pid: int) -> None:
        self.watch.execute("SELECT pg_cancel_backend(%s)", [pid])

    def await_wait(self, pid: int | None = None) -> None:
        """Come back when a backend, or that of this user, waits for a lock."""
        limit = time.monotonic() + 10
        while not self.waits(pid or self.pid):
            assert time.monotonic() < limit
            time.sleep(0.002)

    def waits(self, pid: int) -> bool:
        """True while a backend waits for a lock."""
        waiting = "SELECT FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
        return self.watch.execute(waiting, [pid]).fetchone() is not None
