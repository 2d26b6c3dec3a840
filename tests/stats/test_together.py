"""Writers at work on both tables while the phases are carried out: both agree after each, and nothing is lost."""

import os
import random
import threading
import time
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection
from psycopg import errors

from integrity.engine import analyze
from integrity.registry import registry
from stats.phases import perform
from tests.integrity.helpers import execute
from tests.stats.worlds import CURRENT, LEGACY, at, make_users, put, rows, tables, value

pytestmark = pytest.mark.django_db(transaction=True)

USERS = 30
WORK = [(LEGACY, "strength"), (LEGACY, "agility"), (CURRENT, "wisdom"), (CURRENT, "charisma")]
PASSING = (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure)


class Writer(threading.Thread):
    """Writes one column of one table, some users in a transaction, and knows what was acknowledged."""

    def __init__(self, table, column, seed):
        super().__init__(daemon=True)
        self.table, self.column, self.random = table, column, random.Random(seed)
        self.acknowledged, self.written, self.error = {}, 0, None
        self.may_work, self.ends = threading.Event(), threading.Event()
        self.rests = threading.Event()
        url = urlsplit(os.environ["DATABASE_URL"])
        self.url = url._replace(path=f"/{connection.settings_dict['NAME']}").geturl()

    def run(self):
        try:
            with psycopg.connect(self.url) as own:
                while not self.ends.is_set():
                    if not self.may_work.is_set():
                        self.rests.set()
                        self.may_work.wait(0.05)
                        continue
                    self.write(own)
                    time.sleep(0.002)
        except errors.UndefinedTable:
            # The old table has gone: so has the old app.
            pass
        except psycopg.Error as error:
            self.error = error
        finally:
            self.rests.set()

    def write(self, own):
        # In one order, or the writers of one table would meet in circles of their own.
        users = sorted(self.random.sample(range(1, USERS + 1), self.random.randint(1, 3)))
        new = {user: self.random.randint(1, 100) for user in users}
        try:
            found = set()
            with own.transaction():
                for user, to in new.items():
                    done = own.execute(
                        f"UPDATE {self.table} SET {self.column} = %s, updated_at = clock_timestamp()"
                        " WHERE user_id = %s",
                        (to, user),
                    )
                    if done.rowcount:
                        found.add(user)
            self.acknowledged |= {user: to for user, to in new.items() if user in found}
            self.written += len(found)
        except PASSING:
            pass


class Crowd:
    """All writers, at work or at rest."""

    def __init__(self):
        self.writers = [Writer(table, column, seed) for seed, (table, column) in enumerate(WORK)]

    def __enter__(self):
        for writer in self.writers:
            writer.may_work.set()
            writer.start()
        return self

    def __exit__(self, *_):
        for writer in self.writers:
            writer.ends.set()
            writer.join(20)

    def rest(self):
        for writer in self.writers:
            writer.rests.clear()
            writer.may_work.clear()
        for writer in self.writers:
            while writer.is_alive() and not writer.rests.wait(0.05):
                pass
            assert writer.error is None, writer.error

    def work(self, seconds=0.3):
        for writer in self.writers:
            writer.may_work.set()
        time.sleep(seconds)


def agree():
    report = analyze([registry.get("stats.core_stats_agree")])
    return report.status == "clean", report.rules[0].sample


def assert_nothing_is_lost(crowd):
    for writer in crowd.writers:
        assert writer.acknowledged
        for user, last in writer.acknowledged.items():
            assert value(CURRENT, user, writer.column) == last, (writer.table, writer.column, user)


@pytest.mark.parametrize("seed", range(2))
def test_both_tables_agree_after_each_phase_and_nothing_acknowledged_is_lost(seed):
    with at("before copy"):
        make_users(USERS)
        for user in range(1, USERS + 1):
            put(LEGACY, user, strength=user)
        execute("ANALYZE core_stats_corestat")
        with Crowd() as crowd:
            for writer in crowd.writers:
                writer.random.seed(f"{seed} {writer.column}")
            for phase in ("copy", "verify", "references"):
                report = perform(phase)
                assert report.exit_code <= 1, [rule.error or rule.reasons for rule in report.rules]
                crowd.work()
                crowd.rest()
                assert agree()[0], (phase, agree()[1])
                assert rows(LEGACY) == rows(CURRENT)
                assert_nothing_is_lost(crowd) if phase != "copy" else None
                crowd.work(0)
            done = perform("cleanup")
            assert done.status == "clean", done.rules[0].error
            assert LEGACY not in tables()
            crowd.work()
            crowd.rest()
        assert_nothing_is_lost(crowd)
        assert sum(writer.written for writer in crowd.writers) > 100
        assert analyze([registry.get("stats.history_unbroken")]).status == "clean"
        assert analyze([registry.get("stats.history_ends_at_the_current_value")]).status == "clean"
