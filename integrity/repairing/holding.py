"""What a process proves in each batch, that a run or a part of it is its own, and what it counts with the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from integrity import records
from integrity.models import Run
from integrity.statement import Statement, fetch


class Holding:
    """A whole run, held by one process."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def prove(self, rules: Sequence[str], connection: Any) -> None:
        """Lock it until the batch ends, so that whoever takes it over waits for that. Raises LostRun."""
        records.hold(self.run)
        # A second barrier that does not depend on our own table; it ends with the transaction, pooler or not.
        locks = ", ".join("pg_advisory_xact_lock(hashtextextended(%s, 0))" for _ in rules)
        fetch(connection, Statement(f"SELECT {locks}", tuple(sorted(rules))))
        records.beat(self.run)

    def count(self, rule: str, keys: int, changes: int, outcomes: Mapping[str, int]) -> None:
        """What a batch has done; called in its transaction."""
        records.progress(self.run, rule, changes, outcomes, keys=keys)

    def wait(self, why: str, waited: dict[str, float]) -> None:
        """Write down what it waits for now, or "", and for how long it has waited for what."""
        self.run.waited = waited
        Run.objects.filter(pk=self.run.pk).update(waits_for=why, waited=waited)

    def pause(self) -> None:
        """Somebody has paused the run. One process holds it and waits; whoever shares it leaves: Paused is raised."""

    @property
    def waited(self) -> dict[str, float]:
        """Seconds by what was waited for, by whoever held it before."""
        return dict(self.run.waited)
