"""The project's settings plus the toy app; the database is provided here because pytest-django reads settings before any conftest."""

from config import embedded_postgres

embedded_postgres.provide()

from config.settings import *  # noqa: E402, F403  (the database must be there first)
from config.settings import INSTALLED_APPS  # noqa: E402

INSTALLED_APPS = [*INSTALLED_APPS, "tests.toy"]
