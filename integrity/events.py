"""What runs tell the log: a sentence for people, and the same as fields for programs that read logs.

The fields are attributes of the record (``extra``), which any formatter may show: ``action``, ``run``, ``verb``,
``actor``, ``database``, and what it adds to them.
"""

from __future__ import annotations

import logging
from typing import Any

from integrity.models import Run
from integrity.reports import RuleReport, rows

logger = logging.getLogger("integrity")


def opened(run: Run) -> None:
    """A run has begun."""
    _tell(run, "run_opened", "begun by %s", run.actor, dry_run=run.dry_run, reason=run.reason)


def put_off(run: Run) -> None:
    """A run waits in the queue."""
    _tell(run, "run_queued", "put off by %s", run.actor, dry_run=run.dry_run, reason=run.reason)


def closed(run: Run) -> None:
    """A run has ended."""
    lasted = (run.finished_at - run.started_at).total_seconds() if run.finished_at else None
    told = f": {run.error}" if run.error else ""
    _tell(
        run, "run_closed", "%s%s", run.status, told,
        status=run.status, seconds=lasted, error=run.error,
    )  # fmt: skip


def found(run: Run, report: RuleReport) -> None:
    """A run has done with one rule."""
    many = "" if report.violations is None else f", {report.violations:,} of {_number(report.checked)} break it"
    wrote = f", {rows(report.changes)} {'planned' if run.dry_run else 'written'}" if report.changes else ""
    _tell(
        run, "rule_done", "%s %s%s%s", report.rule, report.status, many, wrote,
        rule=report.rule, strategy=report.strategy, status=report.status, checked=report.checked,
        violations=report.violations, changes=report.changes, skipped=report.skipped, seconds=report.seconds,
        error=report.error,
    )  # fmt: skip


def waits(run: Run, why: str) -> None:
    """A run gives way to something, or, where that is empty, goes on."""
    _tell(run, "run_waits" if why else "run_goes_on", "%s", f"waits: {why}" if why else "goes on", why=why)


def asked(run: Run) -> None:
    """Somebody asked a run to pause, go on or end."""
    word = run.asked or "resume"
    _tell(run, "run_asked", "asked to %s by %s", word, run.asked_by, asked=word, asked_by=run.asked_by)


def _number(many: int | None) -> str:
    return "?" if many is None else f"{many:,}"


def failed(run: Run) -> dict[str, Any]:
    """The fields of a record about an exception that no rule or feed should raise."""
    return _about(run) | {"action": "failed"}


def _tell(run: Run, action: str, sentence: str, *words: object, **fields: Any) -> None:
    extra = _about(run) | fields | {"action": action}
    logger.info("run %s (%s): " + sentence, run.pk, run.verb, *words, extra=extra)  # noqa: G003  (a constant)


def _about(run: Run) -> dict[str, Any]:
    return {"run": run.pk, "verb": str(run.verb), "actor": run.actor, "database": run.database}
