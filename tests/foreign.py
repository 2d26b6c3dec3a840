"""Projects that are not this one: in a folder and a database of their own, with the engine from where a test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg

from tests.settings import NUMBER

# Does in one process what is typed in several: command lines as they are, everything else as Python.
DRIVER = """
import contextlib, io, json, shlex, sys
import django
from django.core.management import execute_from_command_line
django.setup()
answers = []
for line in json.load(sys.stdin):
    out, code = io.StringIO(), 0
    with contextlib.redirect_stdout(out):
        try:
            if line.startswith("manage.py "):
                execute_from_command_line(shlex.split(line))
            else:
                exec(line)
        except SystemExit as end:
            code = end.code
    answers.append([code, out.getvalue()])
print(json.dumps(answers))
"""


@contextmanager
def database(purpose: str) -> Iterator[str]:
    """The URL of a new one, another for each of the workers of a parallel run."""
    name = f"test_holdtrue_{os.environ[NUMBER]}_{purpose}_{os.environ.get('PYTEST_XDIST_WORKER', '')}"
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
        yield server.rpartition("/")[0] + f"/{name}"
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def answers(project: Path, url: str, lines: Sequence[str], *, path: Path) -> list[tuple[int, str]]:
    """Exit code and stdout of each line, typed in a project that finds the engine at a path."""
    given = {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": f"{project}:{path}"}
    done = subprocess.run(
        [sys.executable, "-c", DRIVER],
        cwd=project,
        env={k: v for k, v in os.environ.items() if k != "COLUMNS"} | given,
        input=json.dumps(lines),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [(code, out) for code, out in json.loads(done.stdout)]
