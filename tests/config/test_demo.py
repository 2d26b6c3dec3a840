"""make demo, as somebody runs it: in a pipe, on a server that holds other data."""

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest

from config import embedded_postgres
from config.demo import OURS
from tests.command_line import ROOT

STORY = [
    r"^1\. A world of schools, bikes and riders, in the database holdtrue_demo of the embedded PostgreSQL\.$",
    r"^\$ manage\.py load_test_data\nAdded 500 players,",
    r"^\$ manage\.py integrity analyze players\n(.*\n)+Run 1: clean\.",
    r"^   3 x an hour of a ride is gone$",
    r"^\$ manage\.py analyze_mileage_consistency --limit 3\n(.*\n)+players\.mileage_adds_up +violated +500 +8 ",
    r"^ 1  Rider 0001 \(test-1-0001\) .* LESS$",
    r"^Most likely at fault:$",
    r"the same hour on two devices",
    r"^Run 3: violated\. 10 rows would change; nothing was written\.$",
    r"^Run 4: clean\. Changed: 10 rows\. To take it back: manage\.py integrity undo 4$",
    r"^\$ manage\.py integrity verify 4$",
    r"^Run 7: clean\. Put back: 10 rows\.",
    r"^Every row of every table is what it was before the repair, to the byte\.",
    r"^Run 8: violated\.",
    r"^Run 9: clean\. Changed: 10 rows\.",
    r"the vehicle says 42,500 miles\.",
    r"^Run 11: violated\.",
    r"^Run 13: clean\. What is enforced stays true by itself\.",
    r"^practice_times: 17 rows became 20,000,",
    r"20,000 rows, 41 distinct rows, 17 distinct keys, 17 kept, 19,983 removed$",
    r"^Run 14: violated\. 19,983 rows would change; nothing was written\.$",
    r"^Run 15: clean\. Changed: 19,983 rows\.",
    r"^Run 16: clean\. Put back: 19,983 rows\.",
    r"^Run 17: clean\. Changed: 19,983 rows\.",
    r"2 polls and 13 messages point at the old ones\.$",
    r"^ 87169 +8  relinked +88100 Hinsdale Series 22",
    r"^ 88151 +1  no candidate",
    r"^Run 19: violated\. Changed: 15 rows\.",
    r"^   All 15 that the import orphaned are right; three that nothing decides are left to people\.$",
    r"^export DATABASE_URL='postgres://\S+/holdtrue_demo'$",
]


pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def server():
    """A server of its own, so that nobody's demo is dropped; its URL, with rows of somebody in the default database."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory(prefix="holdtrue-tests-") as place:
        Path(place).chmod(0o755)
        patch.delenv("DATABASE_URL")
        patch.setenv("EMBEDDED_PG_DATA", f"{place}/data")
        embedded_postgres.provide()
        execute(os.environ["DATABASE_URL"], "CREATE TABLE own AS SELECT 'mine' AS word")
        yield os.environ["DATABASE_URL"]
        embedded_postgres.stop()


def execute(url, *statements):
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            found = connection.execute(statement)
        return found.fetchall() if found.description else None


def demo(**environment):
    """Run it with the embedded server of the fixture, or with the DATABASE_URL given."""
    inherited = {name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "COLUMNS")}
    return subprocess.run(
        [sys.executable, "-m", "config.demo"],
        cwd=ROOT,
        env={**inherited, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def told(server):
    done = demo()
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.fixture(scope="module")
def told_again(server, told):
    """A second time, by somebody who has gone on in the demo's database."""
    done = demo(DATABASE_URL=server.rpartition("/")[0] + "/holdtrue_demo")
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def without_times(text):
    """No two runs take as long, or at the same time; their numbers are as wide as they are, too."""
    text = re.sub(r"\d+-\d+-\d+ \d+:\d+:\d+\.\d+ UTC", "now", text)
    return re.sub(r"^(Added|practice_times:|\w+\.\w+ )(.*?) +\d+\.\d+( s\.|  +.*)?$", r"\1\2", text, flags=re.MULTILINE)


def test_the_story_is_told_in_this_order(told):
    position = 0
    for line in STORY:
        found = re.compile(line, re.MULTILINE).search(told, position)
        assert found, line
        position = found.start()


def test_a_pipe_gets_plain_lines_of_at_most_120_columns(told):
    assert "\x1b" not in told
    assert max(map(len, told.splitlines())) <= 120


def test_a_second_time_tells_the_same(told, told_again):
    again = told_again.replace("the server of DATABASE_URL", "the embedded PostgreSQL")
    assert without_times(again) == without_times(told)


def test_the_data_of_others_is_left_alone(server, told):
    tables = "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public'"
    assert execute(server, tables) == [("own",)]
    assert execute(server, "SELECT word FROM own") == [("mine",)]


def test_the_database_that_it_leaves_is_consistent(server, told):
    url = server.rpartition("/")[0] + "/holdtrue_demo"
    assert execute(url, "SELECT verb, status FROM integrity_run ORDER BY id DESC LIMIT 1") == [("consolidate", "clean")]


def test_the_server_of_database_url_is_used_even_when_it_names_the_demo(told_again):
    assert "in the database holdtrue_demo of the server of DATABASE_URL." in told_again


def test_a_database_of_that_name_that_somebody_else_made_is_left_alone(server, told):
    execute(server, "COMMENT ON DATABASE holdtrue_demo IS 'ours'")
    done = demo()
    execute(server, f"COMMENT ON DATABASE holdtrue_demo IS '{OURS}'")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.startswith("The demo did not make the database holdtrue_demo and leaves it alone: rename it,")


def test_a_second_demo_at_the_same_time_is_refused(server):
    with psycopg.connect(server) as connection:
        connection.execute("SELECT pg_advisory_lock(hashtextextended('holdtrue_demo', 0))")
        done = demo()
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "Another demo is at work in the database holdtrue_demo. Wait for it.\n"


def test_a_user_who_may_not_create_databases_is_told_what_to_do(server, told):
    execute(server, "CREATE ROLE poor")
    done = demo(DATABASE_URL=f"{server}?options=-c%20role%3Dpoor")
    execute(server, "DROP ROLE poor")
    assert (done.returncode, done.stdout) == (3, "")
    assert re.match(r"The demo makes a database of its own, .*: let this user create databases, or unset", done.stderr)
