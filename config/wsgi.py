"""The web entry point: provides the embedded database when no DATABASE_URL is set."""

import os

from django.core.wsgi import get_wsgi_application

from config import checks, command_line, embedded_postgres

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
with command_line.plain_errors():
    embedded_postgres.provide()
    checks.require_secret_key()
    application = get_wsgi_application()
