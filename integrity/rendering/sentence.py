"""The last line of a report: what it comes to, and what to do next."""

from __future__ import annotations

from integrity.registry import registry
from integrity.reports import Report, RuleReport
from integrity.reports import rows as rows_of

LOOKS = ("analyze", "verify", "run")


def sentence(report: Report, next_step: str = "") -> str:
    """The last line: what it comes to, and what to do next."""
    run = f"Run {report.run}: {report.status}."
    resumed = " It went on where a dead process had left it." if report.resumed else ""
    violated = [rule for rule in report.rules if rule.violations]
    if report.verb in LOOKS:
        if report.status == "clean":
            return f"{run}{resumed} Every rule that was looked at holds."
        if next_step:
            return f"{run} {next_step}"
        repairable = next((r for r in violated if _repairs(r)), None)
        if repairable is None:
            return run
        strategy = _repairs(repairable)[0]
        return f"{run} To see a repair: manage.py integrity repair {repairable.rule} --strategy {strategy} --dry-run"
    if report.verb == "enforce":
        return f"{run} {_enforced(report)}"
    if report.dry_run:
        return f"{run} {rows_of(report.changes)} would change; nothing was written."
    if report.verb == "consolidate":
        return f"{run}{resumed} {_consolidated(report)}"
    again = f"manage.py integrity undo {report.run}"
    if report.verb == "undo" and report.changes:
        return f"{run}{resumed} Put back: {rows_of(report.changes)}. To take that back: {again}"
    if report.changes:
        return f"{run}{resumed} Changed: {rows_of(report.changes)}. To take it back: {again}"
    return f"{run}{resumed} Nothing was changed."


def _consolidated(report: Report) -> str:
    if report.exit_code > 1:
        return "The phase is not finished. The reason stands above."
    phase = report.rules[0].strategy
    again = " To take it back: --phase rollback" if phase != "rollback" else ""
    return f"The phase {phase} is done.{again}"


def _enforced(report: Report) -> str:
    """What to do next, which depends on how far guard, clean and validate have come."""
    if report.dry_run:
        return f"{report.changes} triggers or constraints would be written; nothing was."
    undone = [rule.rule for rule in report.rules if rule.status in ("failed", "refused")]
    if undone:
        return f"Not done: {', '.join(undone)}. The reason stands above."
    gone = [rule.rule for rule in report.rules if rule.enforcement == "missing"]
    if gone:
        return f"Taken away: {', '.join(gone)}. Nothing keeps it true now; manage.py integrity analyze tells if it is."
    guarded = next((rule for rule in report.rules if rule.enforcement == "guarded" and rule.violations), None)
    if guarded is None:
        return "What is enforced stays true by itself."
    repair = "  then  ".join(
        f"manage.py integrity {verb} {guarded.rule}" for verb in (["repair"] if _repairs(guarded) else []) + ["enforce"]
    )
    return f"No new violation gets in; {guarded.violations:,} old ones are left. Next: {repair}"


def _repairs(rule: RuleReport) -> list[str]:
    return list(registry.get(rule.rule).repairs)
