import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
NOWHERE = "postgres://ann:s3cret@127.0.0.1:1/shop"


@cache
def manage(*arguments, **environment):
    """The same question is asked once; most of the time it takes is the start of Python."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("command", ["migrate", "check", "shell", "no_such_command"])
def test_a_wrong_setting_is_one_line_and_exit_code_2(command):
    done = manage(command, DATABASE_URL="garbage")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith("DATABASE_URL=garbage is not a URL")


@pytest.mark.parametrize("command", ["migrate", "changepassword"])
def test_a_database_that_is_down_is_one_line_and_exit_code_3(command):
    done = manage(command, DATABASE_URL=NOWHERE)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert done.stderr.startswith("The database 'shop' on 127.0.0.1 (DATABASE_URL) cannot be reached: ")


def test_a_password_is_not_in_the_message():
    assert "s3cret" not in manage("migrate", DATABASE_URL=NOWHERE).stderr


def test_traceback_shows_where_it_failed():
    assert "Traceback" in manage("migrate", "--traceback", DATABASE_URL=NOWHERE).stderr


def test_a_database_that_was_never_migrated_says_how_to():
    empty = os.environ["DATABASE_URL"].rpartition("/")[0] + "/postgres"
    done = manage("changepassword", "ann", DATABASE_URL=empty)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "has not all tables" in done.stderr
    assert "run `manage.py migrate`" in done.stderr


def test_other_settings_may_be_named():
    assert manage("check", "--settings", "no.such.module").stderr.count("No module named 'no'") == 1


@pytest.mark.parametrize("question", ["help", "--version", "--help"])
def test_help_needs_no_database(question):
    assert manage(question, DATABASE_URL="", EMBEDDED_PG_BIN="/nowhere").returncode == 0


def test_the_web_entry_point_ends_with_the_same_sentence():
    done = subprocess.run(
        [sys.executable, "-c", "import config.wsgi"],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings", "DATABASE_URL": "garbage"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
