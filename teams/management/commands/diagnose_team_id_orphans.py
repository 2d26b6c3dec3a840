"""Looks for what points at teams that are gone; it writes nothing to the tables that it looks at."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_format
from integrity.reports import Report
from integrity.statuses import EXIT_CODES
from teams.diagnosis import Diagnosis, diagnose_orphans


class Command(EngineCommand):
    """A door to `teams.diagnosis`."""

    help = (
        "Count what points at teams that are gone, and tell which team was meant, by what evidence, and whom it hits."
    )
    verb = "diagnose"
    epilog = (
        "Example: manage.py diagnose_team_id_orphans --format json\n"
        "Exit codes: 0 clean, 1 orphans, rows without a team that should have one, or suspects, 2 usage error,"
        " 3 not checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        found: list[Diagnosis] = []

        def look(watch: Any) -> Report:
            found.append(diagnose_orphans(limit=options["limit"], observer=watch))
            return found[0].report

        self.perform(look, options)
        self._show(found[0], options)
        if code := EXIT_CODES[found[0].status]:
            raise SystemExit(code)

    def _show(self, diagnosis: Diagnosis, options: dict[str, Any]) -> None:
        from teams.rendering import as_csv, as_object, print_diagnosis

        if options["format"] == "json":
            self.stdout.write(json.dumps(as_object(diagnosis), ensure_ascii=False))
        elif options["format"] == "csv":
            self.stdout.write(as_csv(diagnosis))
        else:
            print_diagnosis(self.console(options), diagnosis, limit=options["limit"])
