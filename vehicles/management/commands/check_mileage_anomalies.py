"""Looks for readings and overrides that a person should look at; it corrects nothing."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_format
from integrity.reports import Report
from vehicles.anomalies import check_anomalies
from vehicles.management.shared import add_vehicle, refusals


class Command(EngineCommand):
    """A door to `vehicles.anomalies`."""

    help = "Find readings that fall, rise too fast or were mistyped, and overrides that newer readings contradict."
    verb = "analyze"
    epilog = (
        "Example: manage.py check_mileage_anomalies --vehicle 17 --format json\n"
        "Exit codes: 0 none, 1 anomalies, 2 usage error, 3 something was not checked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_vehicle(parser)
        add_format(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        with refusals():
            report = self.perform(
                lambda watch: check_anomalies(options["vehicle"], limit=options["limit"], observer=watch), options
            )
        self.finish(report, options)

    def print_tables(self, report: Report, options: dict[str, Any]) -> None:
        from integrity.rendering.report import print_report
        from vehicles.rendering import anomalies

        advice = "A person accepts or corrects them: in the administration under Anomalies, or by the API."
        print_report(self.console(options), report, findings=anomalies, next_step=advice)
