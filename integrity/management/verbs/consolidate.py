"""consolidate: make one table of two, phase by phase."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand
from integrity.management.consolidating import add_phases, carry_out
from integrity.management.verbs.arguments import strategy_of
from integrity.management.verbs.base import Verb
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Report


def _arguments(parser: Any) -> None:
    parser.add_argument("rules", nargs=1, metavar="RULE", help="app.name")
    parser.add_argument("--strategy", metavar="NAME", help="Which repair copies; needed where there are several.")
    add_phases(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.consolidate import consolidate, require_two_tables

    rule = require_two_tables(registry.get(options["rules"][0]))
    strategy = strategy_of(rule, options["strategy"], alone=True) if options["phase"] == "copy" else None

    def phase(watch: Observer, dry_run: bool) -> Report:
        return consolidate(
            rule,
            options["phase"],
            strategy=strategy,
            dry_run=dry_run,
            reason=options["reason"],
            sample=options["limit"],
            observer=watch,
        )

    carry_out(command, phase, options, table=rule.other._meta.db_table)


VERB = Verb(
    "consolidate",
    "Make one table of two that an Agrees rule compares, phase by phase.",
    "manage.py integrity consolidate stats.core_stats_agree --phase copy --strategy newest --dry-run",
    _arguments,
    _perform,
)
