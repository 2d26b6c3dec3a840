"""Writers at work on both tables while the phases are carried out: both agree after each, and nothing is lost."""

import threading
import time

import psycopg
import pytest
from django.db import connection

from integrity.engine import analyze
from integrity.registry import registry
from stats.phases import perform
from tests.command_line import url_of
from tests.integrity.helpers import execute
from tests.stats.worlds import CURRENT, LEGACY, at, has_triggers, make_users, rows, tables
from tests.stats.writers import WORK, Writer

pytestmark = pytest.mark.django_db(transaction=True)

USERS, NEWCOMERS = 150, 5


class AtWork(threading.Thread):
    """A writer on a connection of its own, at work or at rest."""

    def __init__(self, writer):
        super().__init__(daemon=True)
        self.writer, self.error = writer, None
        self.may_work, self.rests, self.ends = threading.Event(), threading.Event(), threading.Event()
        self.url = url_of(connection.settings_dict["NAME"])

    def run(self):
        try:
            with psycopg.connect(self.url, autocommit=True) as own:
                while not self.ends.is_set():
                    if self.may_work.is_set() and not self.writer.gone:
                        self.writer.step(own)
                        time.sleep(0.005)
                    else:
                        self.rests.set()
                        self.may_work.wait(0.02)
        except psycopg.Error as error:
            self.error = error
        finally:
            self.rests.set()


class Crowd:
    """All of them."""

    def __init__(self, seed):
        writers = [Writer(table, column, seed, USERS, NEWCOMERS) for table, column in WORK]
        self.threads = [AtWork(writer) for writer in writers]

    def __enter__(self):
        for thread in self.threads:
            thread.may_work.set()
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self.threads:
            thread.ends.set()
            thread.join(20)

    def rest(self):
        for thread in self.threads:
            thread.may_work.clear()
        for thread in self.threads:
            thread.rests.clear()
            assert thread.rests.wait(20)
            assert thread.error is None, thread.error

    def work(self, seconds=0.2):
        for thread in self.threads:
            thread.may_work.set()
        time.sleep(seconds)

    def lost(self):
        """What was acknowledged and is not so."""
        now = {column: values_of(column) for _, column in WORK}
        return [
            (thread.writer.table, thread.writer.column, user, held)
            for thread in self.threads
            for user, (held, _) in thread.writer.acknowledged.items()
            if now[thread.writer.column].get(user) != held
        ]


def values_of(column):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT user_id, {column} FROM {CURRENT}")
        return dict(cursor.fetchall())


def owners_of_badges(table=CURRENT):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT count(DISTINCT user_id) FROM {table} AS s JOIN together_badge ON stat_id = s.id")
        return cursor.fetchone()[0]


def agree():
    report = analyze([registry.get("stats.core_stats_agree")])
    return report.status == "clean", report.rules[0].sample


@pytest.fixture
def badges():
    """What refers to the old table."""
    yield
    execute("DROP TABLE IF EXISTS together_badge")


@pytest.mark.usefixtures("badges")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(1, 6))])
def test_both_tables_agree_after_each_phase_nothing_acknowledged_is_lost_and_all_is_taken_back(seed):
    with at("before copy"):
        make_users(USERS + NEWCOMERS * len(WORK))
        execute(
            f"INSERT INTO {LEGACY} (user_id, strength) SELECT g, 1 + g % 100 FROM generate_series(1, {USERS}) AS g",
            f"ANALYZE {LEGACY}",
            f"CREATE TABLE together_badge (stat_id bigint REFERENCES {LEGACY} DEFERRABLE INITIALLY DEFERRED)",
            f"INSERT INTO together_badge SELECT id FROM {LEGACY}",
        )
        with Crowd(seed) as crowd:
            for phase in ("copy", "verify", "references"):
                report = perform(phase)
                assert report.exit_code <= 1, [rule.error or rule.reasons for rule in report.rules]
                crowd.work()
                crowd.rest()
                assert agree()[0], (phase, agree()[1])
                assert rows(LEGACY) == rows(CURRENT)
                assert crowd.lost() == []
                crowd.work(0)
            assert owners_of_badges() == USERS
            done = perform("cleanup")
            assert done.status == "clean", done.rules[0].error
            assert LEGACY not in tables()
            crowd.work()
            crowd.rest()
            assert crowd.lost() == []
            assert all(thread.writer.written > 10 for thread in crowd.threads)
            assert analyze([registry.get("stats.history_unbroken")]).status == "clean"
            assert analyze([registry.get("stats.history_ends_at_the_current_value")]).status == "clean"
            crowd.work(0)
            take_back(crowd)


def take_back(crowd):
    """All phases, while writers are at work."""
    assert perform("rollback").exit_code <= 1
    assert has_triggers()
    assert perform("copy").exit_code == 0
    crowd.rest()
    assert agree()[0], agree()[1]
    crowd.work(0)
    assert perform("rollback").status in ("clean", "partial")
    crowd.rest()
    assert (agree()[0], owners_of_badges(LEGACY)) == (True, USERS)
    crowd.work(0)
    assert perform("rollback").status in ("clean", "partial")
    assert not has_triggers()
