"""Orphans as people read them in a terminal, and as programs read them in JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.text import Text

from integrity.rendering.machine import lines, report_object
from integrity.rendering.terminal import status, table
from teams.diagnosis import Diagnosis, Number

WAY_ON = "To see a repair: manage.py fix_team_id_orphans --dry-run"
COUNTS = ["rows", "lead nowhere", "without a team", "suspect"]


def as_object(diagnosis: Diagnosis) -> dict[str, Any]:
    """A diagnosis as JSON has it: the report of the analysis, and what was found beside it."""
    return report_object(diagnosis.report) | {
        "verb": "diagnose",
        "status": diagnosis.status,
        "tables": [asdict(counted) for counted in diagnosis.tables],
        "numbers": [_number_object(number) for number in diagnosis.numbers],
        "suspects": [asdict(suspect) for suspect in diagnosis.suspects],
        "people": [asdict(person) for person in diagnosis.people],
    }


def _number_object(number: Number) -> dict[str, Any]:
    verdict = number.verdict
    return {
        "number": verdict.old,
        "rows": verdict.rows,
        "outcome": verdict.outcome,
        "team": verdict.new,
        "by": verdict.by or None,
        "why": verdict.why,
        "candidates": [
            {"id": c.id, "team": number.teams.get(c.id), "for": dict(c.backed), "against": dict(c.opposed)}
            for c in verdict.candidates
        ],
    }


def as_csv(diagnosis: Diagnosis) -> str:
    """A line for each number that leads nowhere."""
    header = ["number", "rows", "outcome", "team", "name", "by", "why"]
    return lines(header, [_line(number) for number in diagnosis.numbers])


def _line(number: Number) -> list[Any]:
    verdict = number.verdict
    name = number.teams.get(verdict.new, "") if verdict.new is not None else ""
    return [verdict.old, verdict.rows, verdict.outcome, verdict.new or "", name, verdict.by, verdict.why]


def print_diagnosis(out: Console, diagnosis: Diagnosis, *, limit: int) -> None:
    """How much, which numbers and what they may mean, what is suspect, whom it concerns."""
    rows = [[f"{c.table}.{c.column}", c.rows, c.dangling, c.unresolved, c.suspects] for c in diagnosis.tables]
    shown = [[row[0], *(f"{count:,}" for count in row[1:])] for row in rows]
    out.print(table(["column", *COUNTS], shown, right=COUNTS))
    _print(out, "Numbers that lead nowhere", diagnosis.numbers, limit, _numbers)
    _print(out, "Suspects: the team is there, and hardly meant", diagnosis.suspects, limit, _suspects)
    _print(out, "Whom it concerns", diagnosis.people, limit, _people)
    wrong = [rule.error for rule in diagnosis.report.rules if rule.error]
    for error in wrong:
        out.print(error, soft_wrap=True, markup=False)
    said = Text.assemble(f"\nRun {diagnosis.report.run}: ", status(diagnosis.status), ".")
    advice = WAY_ON if diagnosis.numbers else ""
    out.print(said.append(f" {advice}" if advice else ""), soft_wrap=True)


def _print(out: Console, title: str, found: list[Any], limit: int, made: Any) -> None:
    if not found:
        return
    out.print(f"\n{title}:", markup=False)
    out.print(made(found[:limit]))
    if len(found) > limit:
        out.print(f"... and {len(found) - limit:,} more (--limit shows more of them)")


def _numbers(numbers: Iterable[Number]) -> Any:
    rows = []
    for number in numbers:
        verdict = number.verdict
        meant = [verdict.new] if verdict.new is not None else [c.id for c in verdict.candidates]
        teams = [f"{team} {number.teams.get(team, '')}" for team in meant]
        rows.append([verdict.old, f"{verdict.rows:,}", verdict.outcome, teams or "-", verdict.why])
    return table(["number", "rows", "outcome", "team", "evidence"], rows, right=["number", "rows"])


def _suspects(suspects: Iterable[Any]) -> Any:
    rows = [[f"{s.table}.{s.column}", s.id, f"{s.team_id} {s.team}", s.why] for s in suspects]
    return table(["column", "row", "team", "why"], rows, right=["row"])


def _people(people: Iterable[Any]) -> Any:
    rows = [[person.username, person.wrote, person.misses] for person in people]
    return table(["user", "wrote", "does not see"], rows, right=["wrote", "does not see"])
