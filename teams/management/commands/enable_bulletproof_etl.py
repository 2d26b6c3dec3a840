"""Sets up, proves, looks at or restores what the nightly import stands on."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand
from integrity.management.verbs.health import show_health


class Command(EngineCommand):
    """A door to `teams.protection`."""

    verb = "enable"
    help = "Set up and prove the protection of the nightly import: constraints, enforcement, and the watch on deletes."
    epilog = (
        "Example: manage.py enable_bulletproof_etl --health-check\n"
        "Exit codes: 0 everything is in place, 1 something is not, 2 usage error, 3 not checked or not finished."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument("--test-only", action="store_true", help="Only prove it; whatever is tried is rolled back.")
        what.add_argument("--health-check", action="store_true", help="Only look, as `integrity health teams` does.")
        what.add_argument(
            "--emergency", action="store_true", help="Repair what is broken now: constraints, enforcement, orphans."
        )
        parser.add_argument("--format", choices=["table", "json", "csv"], default="table", help="How to print it.")

    def handle(self, *_: Any, **options: Any) -> None:
        from teams.protection import Step, emergency, prove, set_up

        if options["health_check"]:
            show_health(self, {**options, "rules": ["teams"]})
            return
        steps: list[Step] = []
        if options["emergency"]:
            steps += emergency()
        elif not options["test_only"]:
            steps += set_up()
        if not options["emergency"]:
            steps += prove()
        self._show(steps, options)
        if not all(step.done for step in steps):
            raise SystemExit(1)

    def _show(self, steps: list[Any], options: dict[str, Any]) -> None:
        rows = [[step.what, "yes" if step.done else "NO", step.note] for step in steps]
        if options["format"] == "json":
            status = "clean" if all(step.done for step in steps) else "violated"
            told: dict[str, Any] = {"run": None, "verb": self.verb, "status": status, "rules": [], "changes": 0}
            told["steps"] = [{"what": s.what, "done": s.done, "note": s.note} for s in steps]
            self.stdout.write(json.dumps(told, ensure_ascii=False))
        elif options["format"] == "csv":
            from integrity.rendering.machine import lines

            self.stdout.write(lines(["what", "done", "note"], rows))
        else:
            from integrity.rendering.terminal import table

            self.console(options).print(table(["what", "done", "note"], rows))
