"""Reports as one JSON object, or as CSV. Keys of the JSON may be added, never renamed."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from typing import Any

from integrity import statuses
from integrity.keys import as_json
from integrity.registry import registry
from integrity.reports import Finding, PlannedChange, Report, RuleReport, Undecided


def to_json(report: Report) -> str:
    """One object, one line. Decimals are strings."""
    return json.dumps(report_object(report), ensure_ascii=False)


def report_object(report: Report) -> dict[str, Any]:
    """A report as JSON has it."""
    return {
        "run": report.run,
        "verb": report.verb,
        "status": report.status,
        "dry_run": report.dry_run,
        "resumed": report.resumed,
        "rules": [_rule(rule) for rule in report.rules],
        "changes": report.changes,
    }


def error_object(verb: str, message: str, status: str) -> dict[str, Any]:
    """What a program reads when nothing could be done."""
    return {"run": None, "verb": verb, "status": status, "rules": [], "changes": 0, "error": message}


def list_object(verb: str, rules: list[dict[str, Any]], *, error: str = "", **more: Any) -> dict[str, Any]:
    """What a verb answers that opens no run and looks at no row; every object has the same keys."""
    status = statuses.PARTIAL if error else statuses.CLEAN
    unseen: dict[str, Any] = {"status": None, "checked": None, "violations": None, "seconds": None, "sample": []}
    return {
        "run": None,
        "verb": verb,
        "status": status,
        "rules": [unseen | rule for rule in rules],
        "changes": 0,
        "error": error or None,
        **more,
    }


def _rule(report: RuleReport) -> dict[str, Any]:
    return {
        "rule": report.rule,
        "status": report.status,
        "strategy": report.strategy or None,
        "checked": report.checked,
        "violations": report.violations,
        "counts": report.counts or None,
        "suspects": report.suspects,
        "suspected": [{"told": as_json(s.told), "ids": as_json(s.ids), "rows": s.rows} for s in report.suspected],
        "new": report.new,
        "resolved": report.resolved,
        "accepted": report.accepted,
        "changed": report.changed,
        "unnoticed": report.unnoticed,
        "seconds": report.seconds,
        "sample": [finding_object(report.rule, finding) for finding in report.sample],
        "changes": report.changes,
        "outcomes": report.outcomes,
        "planned": [change_object(change) for change in report.planned],
        "undecided": [undecided_object(undecided) for undecided in report.undecided],
        "waited": report.waited,
        "skipped": report.skipped,
        "reasons": report.reasons,
        "notes": report.notes,
        "enforcement": report.enforcement or None,
        "conflicts": [{"table": c.table, "key": c.key, "why": c.why} for c in report.conflicts],
        "brake": report.brake or None,
        "error": report.error or None,
        "sql": report.sql or None,
    }


def finding_object(rule: str, finding: Finding) -> dict[str, Any]:
    """A violation; a single value stands alone, several stand by name."""
    return {
        "key": registry.get(rule).key_as_json(finding.key),
        "actual": alone(finding.actual),
        "expected": alone(finding.expected),
        "evidence": as_json(finding.evidence),
    }


def change_object(change: PlannedChange) -> dict[str, Any]:
    """A row that was or would be written."""
    return {
        "table": change.table,
        "op": change.op,
        "row": as_json(change.row),
        "old": as_json(change.old),
        "new": as_json(change.new),
        "evidence": as_json(change.evidence),
    }


def undecided_object(undecided: Undecided) -> dict[str, Any]:
    """A value that a repair could not decide about."""
    return {
        "value": as_json(undecided.value),
        "outcome": undecided.outcome,
        "rows": undecided.rows,
        "why": undecided.why,
        "candidates": undecided.candidates,
    }


def alone(values: dict[str, Any]) -> Any:
    """Values by name as JSON has them: a single one without its name."""
    plain = as_json(values)
    return next(iter(plain.values())) if len(plain) == 1 else plain


def to_csv(report: Report) -> str:
    """A line for each violation in the sample, or for each planned change where a repair was asked for."""
    if any(rule.planned or rule.undecided for rule in report.rules):
        header = ["rule", "table", "op", "row", "old", "new", "evidence"]
        parts = ("row", "old", "new", "evidence")
        rows = [
            [rule.rule, change["table"], change["op"], *(_cell(change[part]) for part in parts)]
            for rule in report.rules
            for change in map(change_object, rule.planned)
        ]
        rows += [_left_line(rule.rule, left) for rule in report.rules for left in rule.undecided]
    else:
        header = ["rule", "status", "key", "actual", "expected", "evidence"]
        rows = [
            [rule.rule, rule.status, *(_cell(found[part]) for part in ("key", "actual", "expected", "evidence"))]
            for rule in report.rules
            for found in (finding_object(rule.rule, finding) for finding in rule.sample)
        ]
    return lines(header, rows)


def _left_line(rule: str, left: Undecided) -> list[Any]:
    """What stays as it is, in the columns of planned changes: the outcome, the old value and what it may be."""
    held = undecided_object(left)
    table = registry.get(rule).model._meta.db_table
    return [rule, table, left.outcome, "", held["value"], _cell([c["id"] for c in left.candidates]), left.why]


def lines(header: list[str], rows: Iterable[list[Any]]) -> str:
    """CSV text with a header."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue().rstrip("\n")


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
