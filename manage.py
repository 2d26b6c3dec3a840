#!/usr/bin/env python
"""The command line: provides the embedded database when no DATABASE_URL is set, then runs a Django command."""

import os
import sys

from config import command_line, embedded_postgres


def main() -> None:
    """Run one command."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    with command_line.plain_errors(show_traceback="--traceback" in sys.argv):
        if command_line.needs_database(sys.argv):
            embedded_postgres.provide()
            command_line.read_settings(sys.argv)
        from django.core.management import execute_from_command_line

        execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
