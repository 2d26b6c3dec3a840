"""repair: carry out a strategy for each of some rules, as one run that can be undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from django.db import DEFAULT_DB_ALIAS, router

from integrity import leases, records, statuses
from integrity.exceptions import UsageError
from integrity.keys import Key, Keys, by_label, stored
from integrity.models import Run
from integrity.observer import Observer
from integrity.repairing.holding import Holding
from integrity.repairing.ordering import Job, in_order
from integrity.repairing.rule_repair import RuleRepair
from integrity.reports import Report, RuleReport, Wider
from integrity.rules.base import Rule
from integrity.safety import Brake
from integrity.schedules.automatic import AUTOMATIC, Automatic
from integrity.schedules.automatic_brake import AutomaticBrake
from integrity.scope import Scope


def repair(
    work: Iterable[tuple[Rule, str | None]],
    *,
    keys: Keys = None,
    dry_run: bool = False,
    max_affected: str | None = None,
    wider: Mapping[str, Wider] | None = None,
    actor: str | None = None,
    reason: str = "",
    of: Run | None = None,
    automatic: Automatic | None = None,
    sample: int = 20,
    shares: bool = False,
    observer: Observer | None = None,
) -> Report:
    """Repair rules, those first whose rows others follow.

    work: rules with the name of a strategy, or None for a rule's only one. keys: only these, for each rule
    or by label; a rule that is not named is repaired whole. dry_run: the same path, each batch rolled back.
    wider: by label, what a door has seen around ``keys`` and leaves alone; it counts in the report and in the records.
    max_affected: "30%" or "5000", opens the brake. of: the run that found what is repaired. automatic: nobody has asked
    for it, and no more than this may be written. shares: one rule of which many keys are to be repaired is left to
    worker processes, part by part; the report then is that of a run that has only begun. A run that a dead process left
    is gone on with when the same work is asked for.

    Raises UsageError, RunInProgress and LostRun; what else goes wrong is in the report and its status.
    """
    brake = AutomaticBrake.of(automatic) if automatic else Brake.declared(max_affected)
    work = list(work)
    for position, (rule, _) in enumerate(work):
        if rule.label in {other.label for other, _ in work[:position]}:
            raise UsageError(f"{rule.label} is given twice: a run repairs it by one strategy.")
    jobs = in_order([(rule, *rule.strategy(strategy)) for rule, strategy in work])
    # Rows of a table that is rebuilt are written by others afterwards, and so taken back before it.
    jobs.sort(key=lambda job: not _rebuilds(job))
    chosen = by_label([rule for rule, _, _ in jobs], keys)
    for job in jobs:
        _require_default_database(job)
        _refuse_keys(job, chosen)
    run, resumed = leases.take(
        [(rule.label, strategy) for rule, strategy, _ in jobs],
        Run.Verb.REPAIR,
        exclusive=not dry_run,
        actor=actor,
        keys=stored([rule for rule, _, _ in jobs], chosen),
        dry_run=dry_run,
        reason=reason,
        of=of,
        options={"max_affected": max_affected, "columns": {}, "triggers": []}
        | ({AUTOMATIC: automatic.as_json()} if automatic else {}),
    )
    report = Report(run.pk, run.verb, dry_run=dry_run, resumed=resumed)
    divides = shares and not (dry_run or chosen or automatic) and len(jobs) == 1
    with leases.Heartbeat(run):
        for position, job in enumerate(jobs):
            later = [rule for rule, _, _ in jobs[position + 1 :]]
            scope = Scope.of(chosen.get(job[0].label))
            kind = _work(job, divides=divides)
            work_on = kind(job, Holding(run), scope, brake, later, observer or Observer(), sample)
            report.rules.append(work_on.perform((wider or {}).get(job[0].label)))
            if run.shared:
                return report
            if report.rules[-1].status in (statuses.FAILED, statuses.REFUSED):
                _leave_out(report, run, jobs[position + 1 :])
                break
    records.close_run(run, report.status, "; ".join(rule.error for rule in report.rules if rule.error))
    return report


def _rebuilds(job: Job) -> bool:
    return any(step.whole for step in job[2])


def _work(job: Job, *, divides: bool) -> type[RuleRepair]:
    """Rows in batches, here or by worker processes, or a whole table."""
    if _rebuilds(job):
        from integrity.rebuilding.table import TableRebuild

        return TableRebuild
    if divides:
        from integrity.workers.dividing import RepairDivision

        return RepairDivision
    return RuleRepair


def _refuse_keys(job: Job, chosen: Mapping[str, Sequence[Key]]) -> None:
    rule, strategy, _ = job
    if _rebuilds(job) and rule.label in chosen:
        raise UsageError(
            f"{strategy} rebuilds the whole table of {rule.label}: leave the keys out, or repair in place."
        )


def _leave_out(report: Report, run: Run, rest: Sequence[Job]) -> None:
    """What was not begun because an earlier rule failed is said to be so."""
    for rule, strategy, _ in rest:
        error = "Not begun, because an earlier rule of this run was not finished."
        report.rules.append(RuleReport(rule.label, strategy=strategy, status=statuses.REFUSED, error=error))
        records.save_result(run, report.rules[-1])


def _require_default_database(job: Job) -> None:
    rule, _, steps = job
    for model in {model for step in steps for model in step.writes(rule)}:
        alias = router.db_for_write(model)
        if alias != DEFAULT_DB_ALIAS:
            raise UsageError(
                f"{rule.label} would write {model._meta.label}, which lives in the database {alias!r}. Repairs work in"
                f" {DEFAULT_DB_ALIAS!r}, where the journal is: a change and its image must commit together."
            )
