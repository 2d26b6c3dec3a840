"""The project's settings, the toy app, and a test database of our own.

The server is provided here because pytest-django reads the settings before any conftest.py. Test databases are
numbered, so that two runs at a time do not drop each other's; a lock that ends with the process holds the number.
"""

import fcntl
import os
from pathlib import Path

from config import embedded_postgres

# A server of the tests' own: every test's data are gone at its end, and need not survive a power cut.
OWN_SERVER = {
    "EMBEDDED_PG_DATA": str(Path(__file__).resolve().parent.parent / ".data" / "test-postgres"),
    "EMBEDDED_PG_SETTINGS": "fsync=off full_page_writes=off synchronous_commit=off max_wal_size=4GB autovacuum=off",
}
given = {name: os.environ[name] for name in OWN_SERVER if name in os.environ}
os.environ.update(OWN_SERVER | given)
embedded_postgres.provide()
# The tests of the embedded server itself start from what the environment said.
for name in OWN_SERVER.keys() - given.keys():
    del os.environ[name]

from config.settings import *  # noqa: E402, F403  (the database must be there first)
from config.settings import BASE_DIR, DATABASES, INSTALLED_APPS  # noqa: E402

NUMBER = "TEST_DATABASE_NUMBER"


def claim_number() -> None:
    """Lock the first free number until the process ends; the workers of a parallel run inherit it."""
    (BASE_DIR / ".data").mkdir(mode=0o700, exist_ok=True)
    for number in range(100):
        lock = os.open(BASE_DIR / ".data" / f"tests-{number}.lock", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            continue
        os.environ[NUMBER] = str(number)
        return


if NUMBER not in os.environ:
    claim_number()

INSTALLED_APPS = [*INSTALLED_APPS, "django_migration_linter", "tests.toy"]
# What is made slow on purpose would be so in every test that signs somebody in.
PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher",
    "django.contrib.auth.hashers.PBKDF2PasswordHasher",  # for what a server of the project's own settings has stored
]
DATABASES["default"]["TEST"] = {"NAME": f"test_holdtrue_{os.environ[NUMBER]}"}
