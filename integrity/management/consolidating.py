"""What the doors to a consolidation share: their arguments, consent, and the words at the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integrity.consolidation import PHASES
from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand, add_format, add_writing
from integrity.observer import Observer
from integrity.reports import Report

PHASES_HELP = (
    "copy: keep both tables equal from now on, and copy what differs. verify: look at every row and field. references:"
    " point what refers to the old table at the new one. cleanup: prove agreement and put the old table aside."
    " rollback: take the latest phase back."
)


def add_phases(parser: Any) -> None:
    """The phase, and what everything that writes takes."""
    parser.add_argument("--phase", required=True, choices=PHASES, help=PHASES_HELP)
    add_writing(parser)
    add_format(parser)


def carry_out(
    command: EngineCommand, phase: Callable[[Observer, bool], Report], options: dict[str, Any], *, table: str
) -> None:
    """Perform a phase after asking for consent, print its report and exit with its code.

    phase: given an observer and whether to try only. table: what cleanup puts aside.
    """

    def perform(*, dry_run: bool) -> Report:
        return command.perform(lambda watch: phase(watch, dry_run), options)

    if options["phase"] == "verify" or options["dry_run"]:
        command.finish(perform(dry_run=True), options)
        return
    if options["phase"] == "cleanup" and not (options["yes"] or command.is_interactive):
        raise UsageError(f"--phase cleanup puts the table {table} aside: without a terminal to ask on, add --yes.")
    if command.consent(lambda: perform(dry_run=True), options):
        command.finish(perform(dry_run=False), options)
