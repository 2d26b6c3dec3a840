"""The list of what is in quarantine."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Sequence
from typing import Any

from django.utils import timezone
from rich.console import Console

from integrity.models import Quarantined
from integrity.rendering.machine import lines, list_object
from integrity.rendering.terminal import fitting
from integrity.repairing.owners import key_as_told
from integrity.shown import show


def _row(row: Quarantined) -> dict[str, Any]:
    return {
        "rule": row.rule,
        "key": key_as_told(row),
        "table": row.table,
        "row": row.key,
        "run": row.run_id,
        "since": row.run.started_at.isoformat(),
        "by": row.run.actor,
        "reason": row.run.reason,
        "values": row.before,
    }


def quarantine_as_json(rows: Iterable[Quarantined], total: int) -> str:
    """Rows in quarantine as one object; ``values`` holds each column as PostgreSQL's own text."""
    answer = list_object("quarantine", [], total=total, rows=[_row(row) for row in rows])
    return json.dumps(answer, ensure_ascii=False)


def quarantine_as_csv(rows: Iterable[Quarantined]) -> str:
    """A line for each row in quarantine."""
    header = ["rule", "key", "table", "row", "run", "since", "by", "reason", "values"]
    told = ([_cell(part) for part in _row(row).values()] for row in rows)
    return lines(header, told)


def _cell(part: Any) -> Any:
    return json.dumps(part, ensure_ascii=False) if isinstance(part, dict) else part


def print_quarantine(out: Console, rows: Sequence[Quarantined], total: int) -> None:
    """Rows in quarantine as a table, with the way back."""
    if not rows:
        out.print("Nothing is in quarantine.")
        return
    columns: dict[str, list[Any]] = {
        "rule": [row.rule for row in rows],
        "key": [show(key_as_told(row)) for row in rows],
        "row": [str(row) for row in rows],
        "run": [row.run_id for row in rows],
        "since": [timezone.localtime(row.run.started_at).strftime("%Y-%m-%d %H:%M") for row in rows],
        "by": [row.run.actor for row in rows],
        "reason": [row.run.reason or "-" for row in rows],
    }
    if not any(row.run.reason for row in rows):
        del columns["reason"]
    out.print(fitting(out, columns, right=["run"], least=["by", "since", "reason", "row"]))
    if total > len(rows):
        out.print(f"... and {total - len(rows):,} more (--limit shows more of them)")
    first = rows[0]
    way = f"manage.py integrity undo {first.run_id} --rule {first.rule}{_option(key_as_told(first))}"
    out.print(f"\nTo put the first one back: {way}", soft_wrap=True, markup=False)


def _option(key: dict[str, str | None]) -> str:
    """A key as it is typed; one with a NULL cannot be, and comes back with all of its rule."""
    parts = [part for part in key.values() if part is not None]
    if len(parts) < len(key):
        return ""
    typed = parts[0] if len(key) == 1 else ",".join(f"{name}={part}" for name, part in key.items())
    return f" --key {shlex.quote(typed)}"
