"""Reports for people: the rules, what breaks them, what was or would be done, and the next step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from integrity.registry import registry
from integrity.rendering.sentence import LOOKS, sentence
from integrity.rendering.terminal import fitting, status, table
from integrity.repairs.base import INSERT
from integrity.reports import PlannedChange, Report, RuleReport
from integrity.reports import rows as rows_of
from integrity.rules.base import Rule
from integrity.rules.comparison import apart
from integrity.shown import show


def print_report(
    out: Console,
    report: Report,
    *,
    findings: Callable[[RuleReport], RenderableType | None] | None = None,
    next_step: str = "",
) -> None:
    """Everything a person wants to know of a run: the rules, then what breaks them, then what was or would be done.

    findings: an app's own table of what breaks a rule. next_step: its own advice instead of the engine's.
    """
    out.print(_summary(out, report))
    for rule in report.rules:
        if rule.sql:
            out.print(f"\n-- {rule.rule}\n{rule.sql};", soft_wrap=True, markup=False)
        _print_findings(out, rule, findings or findings_table)
        _print_suspects(out, rule)
        _print_changes(out, report, rule)
        _print_undecided(out, rule)
        for note in _notes(report, rule):
            out.print(note, soft_wrap=True, markup=False)
    told = sentence(report, next_step)
    if out.is_terminal and len(told) > out.width:
        # A command on a line of its own can be copied whole.
        told = told.replace(": manage.py ", ":\n  manage.py ")
    out.print(Text(f"\n{told}"), soft_wrap=True)


def _summary(out: Console, report: Report) -> Table:
    """A line for each rule; a column that would hold nothing is left out."""
    if report.verb in LOOKS:
        columns = {
            name: name for name in ("checked", "violations", "new", "resolved", "accepted", "suspects", "seconds")
        }
        if report.changes:
            columns["changed"] = "changes"
    elif report.verb == "enforce":
        columns = {"enforcement": "enforcement", "checked": "checked", "violations": "violations", "seconds": "seconds"}
    elif report.dry_run:
        columns = {"checked": "checked", "violations": "violations", "would change": "changes"}
        columns |= {"skipped": "skipped", "seconds": "seconds"}
    else:
        columns = {"checked": "checked", "left": "violations", "changed": "changes"}
        columns |= {"skipped": "skipped", "seconds": "seconds"}
    if any(rule.outcomes for rule in report.rules):
        columns["outcome"] = "outcomes"
    for name in ("accepted", "suspects", "skipped"):
        if not any(getattr(rule, name) for rule in report.rules):
            columns.pop(name, None)
    cells: dict[str, list[Any]] = {
        "rule": [_what(rule) for rule in report.rules],
        "status": [status(rule.status) for rule in report.rules],
    }
    cells |= {name: [_dash(getattr(rule, held)) for rule in report.rules] for name, held in columns.items()}
    return fitting(out, cells, right=[*columns], least=["seconds", "resolved", "new"])


def _what(rule: RuleReport) -> str:
    return f"{rule.rule}\n  by {rule.strategy}" if rule.strategy else rule.rule


def _dash(value: Any) -> str:
    if isinstance(value, dict):
        return "\n".join(f"{word} {count:,}" for word, count in value.items()) or "-"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else show(value)


def _print_findings(out: Console, rule: RuleReport, findings: Callable[[RuleReport], RenderableType | None]) -> None:
    made = findings(rule) if rule.sample else None
    if made is None:
        return
    # A terminal would break the line in the middle of a word; in a pipe a sentence stays on one line.
    out.print(f"\n{rule.rule}: {registry.get(rule.rule).because}", soft_wrap=not out.is_terminal, markup=False)
    out.print(made)
    if rule.violations and rule.violations > len(rule.sample):
        out.print(f"... and {rule.violations - len(rule.sample):,} more (--limit shows more of them)")


def _print_suspects(out: Console, rule: RuleReport) -> None:
    """Rows that no rule breaks yet: what they share, and the ids in which they differ."""
    if not rule.suspected:
        return
    differing = ", ".join(rule.suspected[0].ids)
    told = f"\n{rule.rule}: suspects, which would repeat if {differing} were told by what it refers to:"
    out.print(told, soft_wrap=not out.is_terminal, markup=False)
    rows = [[*s.told.values(), *(", ".join(map(show, ids)) for ids in s.ids.values()), s.rows] for s in rule.suspected]
    out.print(table([*rule.suspected[0].told, *rule.suspected[0].ids, "rows"], rows, right=["rows"]))
    if rule.suspects and rule.suspects > len(rule.suspected):
        out.print(f"... and {rule.suspects - len(rule.suspected):,} more (--limit shows more of them)")


def findings_table(rule: RuleReport) -> Table | None:
    """What breaks a rule: both values, their difference, and the evidence."""
    declared = registry.get(rule.rule)
    found = [f for f in rule.sample if f.actual]
    if not found:
        return None
    evidence = list(found[0].evidence)
    rows = []
    for f in found:
        differences = [_difference(declared, f.actual[c], f.expected.get(c)) for c in f.actual]
        rows.append(
            [
                declared.key_as_json(f.key),
                _one(f.actual),
                _one(f.expected),
                ", ".join(d for d in differences if d) or "-",
                *(f.evidence[name] for name in evidence),
            ]
        )
    columns = ["key", "actual", "expected", "difference", *evidence]
    return table(columns, rows, right=["actual", "difference", *evidence])


def _one(values: dict[str, Any]) -> str:
    if len(values) > 1 and set(values.values()) == {None}:
        return "-"
    return show(next(iter(values.values()))) if len(values) == 1 else show(values)


def _difference(rule: Rule, actual: Any, expected: Any) -> str:
    """How far what is wrong is off: the stored value, or the rows where the column is the master."""
    if getattr(rule, "truth", "rows") == "column":
        return apart_signed(expected, actual)
    return apart_signed(actual, expected)


def apart_signed(actual: Any, expected: Any) -> str:
    """``+1.50`` when the actual value is more, ``-1.50`` when it is less; nothing where neither means anything."""
    distance = apart(actual, expected)
    if distance is None:
        return ""
    sign = "+" if actual > expected else "-"
    return f"{sign}{show(distance)}"


def _print_changes(out: Console, report: Report, rule: RuleReport) -> None:
    """What was or would be written, a table of rows for each table of the database."""
    done = "Would write" if report.dry_run else "Wrote"
    # New rows have other columns than old ones, and so a table of their own.
    groups: dict[tuple[str, bool], list[PlannedChange]] = {}
    for change in rule.planned:
        groups.setdefault((change.table, change.op == INSERT), []).append(change)
    for (name, _), changes in groups.items():
        out.print(f"\n{done} to {name} for {rule.rule}:", soft_wrap=not out.is_terminal, markup=False)
        out.print(_changes(changes))
    if rule.planned and rule.changes > len(rule.planned):
        out.print(f"... and {rows_of(rule.changes - len(rule.planned))} more (--limit shows more of them)")


def _print_undecided(out: Console, rule: RuleReport) -> None:
    """What was left alone because nobody can tell what is right, with what it may be."""
    if not rule.undecided:
        return
    out.print(f"\nLeft as it is, {rule.rule}:", soft_wrap=not out.is_terminal, markup=False)
    rows = [
        [left.value, left.outcome, f"{left.rows:,}", [_candidate(c) for c in left.candidates] or "-", left.why or "-"]
        for left in rule.undecided
    ]
    out.print(table(["value", "outcome", "rows", "candidates", "evidence"], rows, right=["rows"]))


def _candidate(candidate: Mapping[str, Any]) -> str:
    """``88120 (named 12, owned -1)``: witnesses for it, and against it."""
    told = [f"{step} {count}" for step, count in candidate["for"].items()]
    told += [f"{step} -{count}" for step, count in candidate["against"].items()]
    return f"{show(candidate['id'])} ({', '.join(told)})"


def _changes(changes: Sequence[PlannedChange]) -> Table:
    """A column for each one that is written, as it was and becomes, then the evidence."""
    written = list(dict.fromkeys(column for change in changes for column in _told(change)))
    evidence = list(dict.fromkeys(name for change in changes for name in change.evidence))
    rows = []
    for change in changes:
        key = {name: part for name, part in change.row.items() if part is not None}
        told = [change.evidence.get(name, "") for name in evidence]
        rows.append([change.op, key or "new", *(_becomes(change, column) for column in written), *told])
    return table(["what", "row", *written, *evidence], rows)


def _told(change: PlannedChange) -> Iterable[str]:
    """The columns of a row, without those that stay as they are beside others."""
    both = (*change.old, *change.new)
    if change.op == INSERT:
        return both
    return [c for c in both if c not in change.old or c not in change.new or change.old[c] != change.new[c]] or both


def _becomes(change: PlannedChange, column: str) -> str:
    """``old -> new``; one of them for a row that goes or comes, and for a value that stays."""
    sides = [change.new] if change.op == INSERT else [change.old, change.new]
    return " -> ".join(dict.fromkeys(show(side[column]) for side in sides if column in side))


def _notes(report: Report, rule: RuleReport) -> Iterable[str]:
    if rule.error:
        yield f"\n{rule.rule}: {rule.error}"
    if rule.brake:
        yield f"\n{rule.rule}: the brake would stop this. {rule.brake}"
    if rule.counts:
        told = ", ".join(f"{count:,} {sort.replace('_', ' ')}" for sort, count in rule.counts.items())
        yield f"{rule.rule}: {told}"
    if rule.waited:
        told = ", ".join(f"{seconds:.1f} s for {reason}" for reason, seconds in rule.waited.items())
        yield f"{rule.rule}: waited {told}"
    yield from rule.notes
    for reason in rule.reasons:
        yield f"{rule.rule}: skipped {reason}"
    for conflict in rule.conflicts:
        yield f"{rule.rule}: left {conflict.table} {show(conflict.key)} alone: {conflict.why}"
