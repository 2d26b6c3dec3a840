"""A night of 500,000 teams, as its commands carry it out: imported, changed, imported again, looked at, taken back.

``TEAMS=50000 pytest -m scale -s tests/teams/test_import_scale.py`` is a smaller one; it prints a line for each command.
"""

import csv
import itertools
import json
import os
import subprocess
import sys
import time

import pytest
from django.db import connection

from tests.command_line import ROOT, url_of
from tests.integrity.helpers import execute

pytestmark = [pytest.mark.scale, pytest.mark.django_db(transaction=True)]

TEAMS = int(os.environ.get("TEAMS", "500000"))
CLUBS, LEAGUES = 500, 10
SERIES = TEAMS // CLUBS // LEAGUES
HEADER = ("club", "series", "league", "name", "alias", "id")
WRITTEN = """
    INSERT INTO auth_user (id, username, password, first_name, last_name, email, is_superuser, is_staff, is_active,
        date_joined) VALUES (1, 'cat', '', '', '', '', false, false, true, now());
    INSERT INTO teams_poll (team_id, created_by_id, question) SELECT id, 1, name FROM teams_team WHERE id % 20 = 0;
    INSERT INTO teams_captainmessage (team_id, captain_id, message) SELECT id, 1, name FROM teams_team WHERE id % 25 = 0
"""
# Written by hand: the engine is what is on trial.
ASTRAY = """
    SELECT (SELECT count(*) FROM teams_poll p LEFT JOIN teams_team t ON t.id = p.team_id
            WHERE t.name IS DISTINCT FROM p.question)
         + (SELECT count(*) FROM teams_captainmessage m LEFT JOIN teams_team t ON t.id = m.team_id
            WHERE t.name IS DISTINCT FROM m.message)
"""
DIGEST = "SELECT count(*), bit_xor(hashtextextended(t::text, 0)), sum(hashtext(t::text)::bigint) FROM teams_team AS t"


def one(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()


def send(folder, rows):
    places = {
        "leagues": (("league_id", "name"), [(f"L{n}", f"League {n}") for n in range(LEAGUES)]),
        "clubs": (("name",), [(f"Club {n}",) for n in range(CLUBS)]),
        "series": (("name",), [(f"Series {n}",) for n in range(SERIES + 1)]),
        "teams": (HEADER, rows),
    }
    for name, (header, lines) in places.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows(itertools.chain([header], lines))


def row(c, s, n, alias, number):
    return f"Club {c}", f"Series {s}", f"L{n}", f"Club {c} Series {s}", alias, number


def first_night():
    return (row(c, s, n, "", f"{n}.{c}.{s}") for n in range(LEAGUES) for c in range(CLUBS) for s in range(SERIES))


def second_night():
    """In another order 17 in a hundred have an alias, 2 other numbers, 1 is gone, and every club has a new team."""
    for n in reversed(range(LEAGUES)):
        for c in reversed(range(CLUBS)):
            for s in reversed(range(SERIES)):
                of = (n * CLUBS + c + 7 * s) % 100
                if of:
                    yield row(c, s, n, "The Other" if of < 18 else "", f"{'x' * (of > 97)}{n}.{c}.{s}")
    yield from (row(c, SERIES, 0, "", f"new {c}") for c in range(CLUBS))


def command(*words):
    """What a command answers in JSON; tells its seconds and its megabytes at most."""
    environment = os.environ | {"DATABASE_URL": url_of(connection.settings_dict["NAME"])}
    environment["DJANGO_SETTINGS_MODULE"] = "config.settings"
    line = [sys.executable, "manage.py", *words, "--format", "json"]
    started = time.monotonic()
    with subprocess.Popen(line, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        said = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said[-2000:]
    name = words[1] if words[0] == "integrity" else words[0]
    sys.stdout.write(f"{name}: {time.monotonic() - started:.1f} s, {used.ru_maxrss // 1024} MB\n")
    return json.loads(said)


def test_a_night_of_many_teams_is_imported_looked_at_and_taken_back(tmp_path):
    send(tmp_path, first_night())
    assert counts(command("import_teams", str(tmp_path), "--yes")) == (TEAMS, 0, 0, 0)
    execute(WRITTEN)
    before = one(DIGEST)

    send(tmp_path, second_night())
    tonight = command("import_teams", str(tmp_path), "--yes")
    gone = TEAMS // 100
    assert counts(tonight) == (CLUBS, 19 * gone, TEAMS - 20 * gone, gone)
    assert one(ASTRAY) == (0,)
    assert counts(command("import_teams", str(tmp_path), "--yes"))[0::3] == (0, 0)
    assert command("check_health", "teams")["status"] == "clean"

    assert command("integrity", "undo", str(tonight["run"]), "--yes")["status"] == "clean"
    assert one(DIGEST) == before
    assert one(ASTRAY) == (0,)


def counts(report):
    """Of the teams: inserted, updated, unchanged, deactivated."""
    (feed,) = [feed for feed in report["feeds"] if feed["feed"] == "teams.nightly.team"]
    return tuple(feed[name] for name in ("inserted", "updated", "unchanged", "deactivated"))
