"""The whole procedure over 2,000,000 users with writers at work: timed, killed, and proven after each phase by hand.

``STATS_USERS=100000 pytest -m scale -s tests/stats/test_scale.py`` is a smaller one; it prints a line for each phase.
Half of the users differ; with ``STATS_OF=2000`` ten of 2,000 do, and the copy takes seconds.
"""

import json
import math
import os
import signal
import subprocess
import sys
import time

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from tests.command_line import ROOT, url_of
from tests.integrity.helpers import execute
from tests.stats.worlds import COLUMNS, CURRENT, LEGACY, RETIRED, at, tables
from tests.stats.writers import NEWCOMERS, WORK, Crowd

pytestmark = [pytest.mark.scale, pytest.mark.django_db(transaction=True)]

USERS = int(os.environ.get("STATS_USERS", "2000000"))
LISTED = ", ".join(COLUMNS)
# Of so many users ten differ: six only in the old table, two only in the new one, one newer on either side.
OF = int(os.environ.get("STATS_OF", "20"))
IN_LEGACY, IN_CURRENT = f"g %% {OF} NOT IN (16, 17)", f"g %% {OF} NOT BETWEEN 10 AND 15"
LOAD = f"""
    INSERT INTO {{table}} ({LISTED})
    SELECT g, 1 + g %% 100, 1 + g %% 99, 1 + g %% 98, 1 + g %% 97, 1 + g %% 96, 1 + g %% 95, g, g / 1000 + 1,
           timestamptz '2020-01-01' + g * interval '1 minute', timestamptz '2021-01-01' + g * interval '1 minute'
    FROM generate_series(1, {USERS}) AS g WHERE {{where}}
"""
USERS_OF = f"""
    INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
        date_joined)
    SELECT g, 'user ' || g, '', '', '', '', false, false, true, now()
    FROM generate_series(1, {USERS + NEWCOMERS * len(WORK)}) AS g
"""
DIFFERENT = """
    UPDATE {table} SET strength = 101 - strength, intelligence = 101 - intelligence,
        updated_at = updated_at + interval '1 day' WHERE user_id %% {of} = {number}
"""
BADGES = f"""
    CREATE TABLE scale_badge (id bigserial PRIMARY KEY,
        stat_id bigint NOT NULL REFERENCES {LEGACY} (id) DEFERRABLE INITIALLY DEFERRED);
    INSERT INTO scale_badge (stat_id) SELECT id FROM {LEGACY} WHERE user_id %% 4 = 0;
    CREATE INDEX ON scale_badge (stat_id)
"""
ENTRIES = f"""
    INSERT INTO django_admin_log (action_time, user_id, content_type_id, object_id, object_repr, action_flag,
        change_message) SELECT now(), 1, %s, id::text, '', 2, '' FROM {LEGACY} WHERE user_id %% 20 = 0
"""
# Written by hand: the engine is what is on trial.
UNEQUAL = f"""
    SELECT count(*) FROM {LEGACY} AS r FULL JOIN {CURRENT} AS l USING (user_id)
    WHERE r.id IS NULL OR l.id IS NULL OR ROW({", ".join(f"r.{c}" for c in COLUMNS[1:])})
        IS DISTINCT FROM ROW({", ".join(f"l.{c}" for c in COLUMNS[1:])})
"""
# A row without a counterpart of the same bytes, of somebody who was not written about meanwhile.
OTHERWISE = f"""
    SELECT count(*) FROM scale_retired AS k LEFT JOIN {LEGACY} AS b USING (id)
    WHERE k::text IS DISTINCT FROM b::text AND k.user_id NOT IN (SELECT unnest(%s::int[]))
"""
LOST = """
    SELECT count(*) FROM unnest(%s::int[], %s::int[]) AS a (user_id, held) LEFT JOIN {table} AS t USING (user_id)
    WHERE t.{column} IS DISTINCT FROM a.held
"""
COPIED = "SELECT coalesce(max(changes), 0) FROM integrity_result WHERE rule = 'stats.core_stats_agree' AND writes"
LEADING_NOWHERE = """
    SELECT count(*) FROM scale_badge AS b WHERE NOT EXISTS (SELECT FROM {table} AS t WHERE t.id = b.stat_id)
"""


def one(statement, params=None):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchone()


def tell(line):
    """To whoever asked with -s."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Phase:
    """A phase as its command carries it out, in a process of its own; tells its seconds and its megabytes at most."""

    def __init__(self, name, *words):
        command = ["manage.py", "consolidate_core_stats", "--phase", name, "--format", "json", "--yes", *words]
        environment = os.environ | {"DATABASE_URL": url_of(connection.settings_dict["NAME"])}
        environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
        self.name, self.started = name, time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def end(self, *codes):
        out, err = self.process.stdout.read(), self.process.stderr.read()
        self._close()
        _, status, used = os.wait4(self.process.pid, 0)
        self.process.returncode = code = os.waitstatus_to_exitcode(status)
        assert code in (codes or (0,)), (out + err).decode()[-3000:]
        report = json.loads(out)
        seconds, megabytes = time.monotonic() - self.started, used.ru_maxrss // 1024
        # As much for a hundred times as many users.
        assert megabytes < 400
        self.line = f"| {self.name} | {report['changes']:,} | {seconds:.0f} | {megabytes} |"
        return report

    def _close(self):
        self.process.stdout.close()
        self.process.stderr.close()

    def kill(self, changes):
        """-9, once it has written so much."""
        while one(COPIED)[0] < changes:
            assert self.process.poll() is None, self.process.stderr.read()
            time.sleep(0.05)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        self._close()
        tell(f"| {self.name}, killed | {changes:,} and more | {time.monotonic() - self.started:.0f} | | |")


def load():
    # What keeps histories, levels and keys would take longer than what is to be measured.
    execute("SET session_replication_role = replica", USERS_OF)
    execute(LOAD.format(table=LEGACY, where=IN_LEGACY).replace("%%", "%"))
    execute(LOAD.format(table=CURRENT, where=IN_CURRENT).replace("%%", "%"))
    for table, number in ((CURRENT, 18), (LEGACY, 19)):
        execute(DIFFERENT.format(table=table, of=OF, number=number).replace("%%", "%"))
    execute(f"UPDATE {LEGACY} SET level = 0 WHERE user_id % 1000 = 0", BADGES.replace("%%", "%"))
    old = ContentType.objects.get_or_create(app_label="core_stats", model="corestat")[0]
    with connection.cursor() as cursor:
        cursor.execute(ENTRIES, [old.pk])
    execute("SET session_replication_role = DEFAULT", "VACUUM ANALYZE")


def assert_nothing_is_lost(crowd, since, came_back):
    """Each of the values that were acknowledged after the triggers were there.

    But for the rows that were deleted before the old table, which still has them, came back with them.
    """
    for column, acknowledged in crowd.acknowledged.items():
        kept = {user: held for user, (held, begun) in acknowledged.items() if begun > since}
        kept = {user: held for user, held in kept.items() if held or acknowledged[user][1] > came_back}
        assert kept
        lost = one(LOST.format(table=CURRENT, column=column), [list(kept), list(kept.values())])
        assert lost == (0,), (column, len(kept))


def assert_whole(crowd, since, ended, *, equal=True, came_back=0):
    """After a phase: nothing that was acknowledged is lost, and both tables agree."""
    crowd.rest()
    tell(f"{ended.line} {crowd.longest:.1f} |")
    if equal:
        assert one(UNEQUAL) == (0,)
    assert_nothing_is_lost(crowd, since, came_back)
    crowd.work()


def kept_equal_since():
    """All triggers are there when the first repair begins."""
    while not one("SELECT count(*) FROM integrity_run WHERE verb = 'repair'")[0]:
        time.sleep(0.05)
    return time.time()


def test_two_million_users_are_consolidated_with_writers_at_work_and_brought_back():
    with at("before copy"):
        try:
            load()
            story()
        finally:
            execute("DROP TABLE IF EXISTS scale_badge, scale_retired")


def story():
    tell(f"\n| {USERS:,} users | changes | seconds | MB at the peak | seconds that a writer waited at most |")
    with Crowd(url_of(connection.settings_dict["NAME"]), USERS) as crowd:
        crowd.work()
        first = Phase("copy")
        since = kept_equal_since()
        first.kill(USERS // OF)

        def perform(name, *codes, **options):
            phase = Phase(name)
            report = phase.end(*codes)
            assert_whole(crowd, since, phase, **options)
            return report

        assert perform("copy")["resumed"]
        perform("verify")
        perform("references")
        assert one(LEADING_NOWHERE.format(table=CURRENT)) == (0,)
        perform("cleanup", equal=False)
        assert LEGACY not in tables()
        execute(f"CREATE TABLE scale_retired AS SELECT * FROM {RETIRED}")
        assert one("SELECT count(*) FROM scale_retired")[0] > USERS * 0.8

        # Back again, and once more: what was written meanwhile comes over.
        begins = time.time()
        perform("rollback", 0, 1, equal=False, came_back=math.inf)
        back = time.time()
        crowd.rest()
        written = {
            user for lines in crowd.acknowledged.values() for user, (_, begun) in lines.items() if begun > begins
        }
        assert one(OTHERWISE, [list(written)]) == (0,)
        crowd.work()
        perform("copy", came_back=back)
        crowd.rest()
        assert crowd.written > 1000
        tell(f"Writers: {crowd.written:,} rows written, {crowd.passed} transactions given up for locks.")
