"""The repair of a part, batch by batch as any other, and the end of the run when all parts are over."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q
from django.utils import timezone

from integrity import records, statuses
from integrity.exceptions import Cancelled, sentence
from integrity.look import keys_in
from integrity.models import Part, Run
from integrity.notes import look_again
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repairing.ordering import Job
from integrity.repairing.rule_repair import RuleRepair
from integrity.reports import added
from integrity.safety import Brake
from integrity.schema import require_declared
from integrity.workers.dividing import WHOLE_BEFORE
from integrity.workers.parts import PartHolding, finish, scope_of

SAMPLE = 20
"""Reasons that are kept for keys which were left alone."""


def job_of(run: Run) -> Job:
    """The rule and the strategy of a shared repair."""
    result = run.results.get()
    rule = registry.get(result.rule)
    return (rule, *rule.strategy(result.strategy))


class PartRepair(RuleRepair):
    """The keys of one part. The brake was counted before any part began, over all of them."""

    def __init__(self, part: Part, observer: Observer) -> None:
        super().__init__(
            job_of(part.run), PartHolding(part, part.run), scope_of(part), Brake.declared(None), [], observer, SAMPLE
        )
        self.part = part

    def perform_part(self) -> None:
        """Do it, and say so in the row of the part. Raises LostRun, Paused, Refused and DatabaseError."""
        require_declared({*self.rule.reads(), *self.models}, self.connection)
        self._prepare()
        self.measured = True
        status = statuses.DONE
        try:
            self._pass()
        except Cancelled as asked:
            status, self.report.error = statuses.CANCELLED, sentence(asked)
        left = self.report.violations = self._left_over()
        found = [finding for finding in self.left.values() if finding.actual]
        with transaction.atomic():
            finish(
                self.part,
                status,
                violations=left,
                checked=self.report.checked or 0,
                skipped=self.report.skipped,
                found=self.report.reasons,
                error=self.report.error,
            )
            records.remember(self.rule, self.run, found, looked_at=Q(pk__in=[]), truncated=False)
            if self.rule.tracked and found:
                look_again(self.rule, [finding.key for finding in found])

    def _measure(self, *_: object) -> None:
        """It was measured with all the others."""

    def _check_brake(self, planned: dict[str, int]) -> None:
        """The same."""

    def _begin(self, checked: int, found: int) -> None:
        self.report.checked, self.report.violations = checked, found
        self.observer.begins(self.rule.label, found)


class RepairConclusion(RuleRepair):
    """What the parts have come to, looked at as one."""

    def __init__(self, part: Part, observer: Observer) -> None:
        super().__init__(
            job_of(part.run), PartHolding(part, part.run), scope_of(part), Brake.declared(None), [], observer, SAMPLE
        )
        self.part = part

    def perform_part(self) -> None:
        """Sum up, check what can only be checked whole, close the run."""
        self._prepare()
        parts = list(Part.objects.filter(run=self.run).exclude(pk=self.part.pk).order_by("number"))
        self._sum_up(parts)
        self._tell_left()
        self._judge(parts)
        if any(part.status == statuses.DONE for part in parts):
            before = {registry.get(label): count for label, count in self.run.options[WHOLE_BEFORE].items()}
            self._check_whole(before)
        self.report.seconds = round((timezone.now() - self.run.started_at).total_seconds(), 3)
        self.report.outcomes = added(self.done, self.undone)
        self._close()

    def _sum_up(self, parts: list[Part]) -> None:
        result = self.run.results.get()
        self.report.checked = result.checked
        self.report.changes = sum(part.changes for part in parts)
        self.report.skipped = sum(part.skipped for part in parts)
        self.report.reasons = [reason for part in parts for reason in part.found][:SAMPLE]
        for part in parts:
            self.done = added(self.done, part.outcomes)
            for word, seconds in part.waited.items():
                self.report.waited[word] = round(self.report.waited.get(word, 0) + seconds, 3)
        self.report.violations = self._left_in(parts)

    def _left_in(self, parts: list[Part]) -> int:
        if self.rule.settle:
            # Those that are too young were in no part.
            return keys_in(self.rule, self._scope(), DEFAULT_DB_ALIAS, 1)[1]
        return sum(
            part.violations if part.status == statuses.DONE else max(part.violations, part.keys - part.done)
            for part in parts
        )

    def _judge(self, parts: list[Part]) -> None:
        failed = [part for part in parts if part.status == statuses.FAILED]
        cancelled = [part for part in parts if part.status == statuses.CANCELLED]
        if failed:
            self.report.error = f"Part {failed[0].number} of {len(parts)}: {failed[0].error}"
            if len(failed) > 1:
                self.report.error += f" {len(failed)} parts failed."
        elif cancelled:
            self.run.refresh_from_db(fields=["asked_by"])
            self.report.error = (
                f"Cancelled by {self.run.asked_by}. What was committed stays; the same command goes on with the rest."
            )
        done = any(part.done for part in parts)
        if failed and not done:
            self.report.status = statuses.FAILED
        elif failed or cancelled or self.report.skipped:
            self.report.status = statuses.PARTIAL
        else:
            self.report.status = statuses.VIOLATED if self.report.violations else statuses.CLEAN

    def _close(self) -> None:
        with transaction.atomic():
            records.save_result(self.run, self.report)
            Run.objects.filter(pk=self.run.pk).update(waited=self.report.waited)
            records.close_run(self.run, self.report.status, self.report.error)
            finish(self.part)
