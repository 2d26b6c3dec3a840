#!/usr/bin/env python
"""The command line: starts the embedded database when no DATABASE_URL is set, then runs a Django command."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from config import embedded_postgres

    embedded_postgres.provide()
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
