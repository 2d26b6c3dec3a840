"""Writers as processes of their own: each has one column of one table, and newcomers, and knows what was acknowledged.

``python -m tests.stats.writers TABLE COLUMN SEED USERS`` reads ``work``, ``rest`` and ``end`` from stdin, a line each.
At rest it prints how many rows it wrote, how many transactions it gave up, how many seconds the longest took since the
rest before, and what was acknowledged since it began: by user, the value and when its transaction was begun. A value of
None is a row that was deleted.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import subprocess
import sys
import time
from typing import Any, Self

import psycopg
from psycopg import errors, sql

LEGACY, CURRENT = "core_stats_corestat", "stats_corestat"
WORK = [(LEGACY, "strength"), (LEGACY, "agility"), (CURRENT, "wisdom"), (CURRENT, "charisma")]
NEWCOMERS = 500
"""Users of each writer that have no stats at first, numbered after the others."""
PASSING = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)


class Writer:
    """Random work on one table: updates of one column, and inserts and deletes of users who had no stats at first."""

    def __init__(self, table: str, column: str, seed: int, users: int, newcomers: int = NEWCOMERS) -> None:
        self.table, self.column, self.users = table, column, users
        self.random = random.Random(f"{seed} {column}")
        first = users + 1 + newcomers * [column for _, column in WORK].index(column)
        self.newcomers = range(first, first + newcomers)
        self.acknowledged: dict[int, tuple[int | None, float]] = {}
        self.written, self.passed, self.gone = 0, 0, False
        self.longest = 0.0

    def step(self, own: psycopg.Connection[Any]) -> None:
        """One transaction."""
        begun = time.time()
        try:
            with own.transaction():
                done = self._newcomer(own) if self.random.random() < 0.2 else self._update(own)
        except PASSING:
            self.passed += 1
        except errors.UndefinedTable:
            # The old table has gone: so has the old app.
            self.gone = True
        else:
            self.acknowledged |= {user: (held, begun) for user, held in done.items()}
            self.written += len(done)
        self.longest = max(self.longest, time.time() - begun)

    def _update(self, own: psycopg.Connection[Any]) -> dict[int, int | None]:
        # In one order, or the writers of one table would meet in circles of their own.
        chosen = sorted(self.random.sample(range(1, self.users + 1), self.random.randint(1, 3)))
        done: dict[int, int | None] = {}
        for user in chosen:
            held = self.random.randint(1, 100)
            # What is as it was is no change: nothing tells the other table of it.
            statement = (
                "UPDATE {table} SET {column} = %s, updated_at = clock_timestamp() WHERE user_id = %s AND {column} <> %s"
            )
            if own.execute(self._over(statement), (held, user, held)).rowcount:
                done[user] = held
        return done

    def _newcomer(self, own: psycopg.Connection[Any]) -> dict[int, int | None]:
        """One comes, or goes again."""
        user, held = self.random.choice(self.newcomers), self.random.randint(1, 100)
        if own.execute(self._over("DELETE FROM {table} WHERE user_id = %s"), (user,)).rowcount:
            return {user: None}
        own.execute(self._over("INSERT INTO {table} (user_id, {column}) VALUES (%s, %s)"), (user, held))
        return {user: held}

    def _over(self, text: str) -> sql.Composed:
        return sql.SQL(text).format(table=sql.Identifier(self.table), column=sql.Identifier(self.column))


def main(table: str, column: str, seed: str, users: str) -> None:
    """Work as told until the end."""
    writer, at_work = Writer(table, column, int(seed), int(users)), False
    chosen = selectors.DefaultSelector()
    chosen.register(sys.stdin, selectors.EVENT_READ)
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as own:
        while True:
            if chosen.select(0 if at_work and not writer.gone else None):
                for told in os.read(sys.stdin.fileno(), 1024).decode().split() or ["end"]:
                    if told == "end":
                        return
                    at_work = told == "work"
                    if not at_work:
                        told_of = [writer.written, writer.passed, writer.longest, [*writer.acknowledged.items()]]
                        writer.longest = 0.0
                        sys.stdout.write(json.dumps(told_of) + "\n")
                        sys.stdout.flush()
            elif at_work:
                writer.step(own)
                # A hundred people or so; not as fast as a loop can.
                time.sleep(0.005)


class Crowd:
    """All writers, at work or at rest. ``acknowledged``: by column, user -> (value, when begun). ``longest``: seconds
    that a transaction took since the rest before."""

    def __init__(self, url: str, users: int, seed: int = 0) -> None:
        self.url, self.users, self.seed = url, users, seed
        self.acknowledged: dict[str, dict[int, tuple[int | None, float]]] = {}
        self.written = self.passed = 0
        self.longest = 0.0

    def __enter__(self) -> Self:
        self.processes = [
            subprocess.Popen(
                [sys.executable, "-m", "tests.stats.writers", table, column, str(self.seed), str(self.users)],
                env=os.environ | {"DATABASE_URL": self.url},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                bufsize=1,
            )
            for table, column in WORK
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            process.communicate("end\n", timeout=60)

    def work(self) -> None:
        self._tell("work")

    def rest(self) -> None:
        """Come back when nothing is on its way any more."""
        self._tell("rest")
        told = [json.loads(process.stdout.readline()) for process in self.processes if process.stdout]
        written, passed, longest, _ = zip(*told, strict=True)
        self.written, self.passed, self.longest = sum(written), sum(passed), max(longest)
        for (_, column), (*_, acknowledged) in zip(WORK, told, strict=True):
            self.acknowledged[column] = {user: (held, begun) for user, (held, begun) in acknowledged}

    def _tell(self, word: str) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write(f"{word}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
