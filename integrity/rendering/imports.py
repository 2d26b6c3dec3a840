"""The report of an import: for people what became of each feed and which rows are wrong, for programs one object."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.text import Text

from integrity.importing.reports import COUNTS, FeedReport, ImportReport
from integrity.rendering.machine import lines, report_object
from integrity.rendering.terminal import fitting, status, table
from integrity.reports import rows


def to_json(report: ImportReport) -> str:
    """One object, one line."""
    told = {**report_object(report), **report.as_json(), "error": report.error or None}
    return json.dumps(told, ensure_ascii=False)


def to_csv(report: ImportReport) -> str:
    """A line for each rejected row, or for each feed where none was."""
    if report.rejects:
        header = ["feed", "file", "row", "line", "field", "value", "reason"]
        return lines(header, [[r.feed, r.file, r.row, r.line, r.field, r.value, r.reason] for r in report.rejects])
    header = ["feed", "status", "rows", *COUNTS]
    return lines(header, [[f.rule, f.status, f.checked, *(getattr(f, c) for c in COUNTS)] for f in report.feeds])


def print_import(out: Console, report: ImportReport) -> None:
    """Feeds, rejected rows, notes, and what it comes to."""
    cells: dict[str, list[Any]] = {
        "feed": [feed.rule for feed in report.feeds],
        "status": [status(feed.status) for feed in report.feeds],
        "rows": [_dash(feed.checked) for feed in report.feeds],
    }
    cells |= {count: [f"{getattr(feed, count):,}" for feed in report.feeds] for count in COUNTS}
    out.print(fitting(out, cells, right=["rows", *COUNTS], least=["unchanged"]))
    if report.rejects:
        out.print("\nRejected:")
        rejected = [[r.file, r.row, r.line, r.field or "-", r.value, r.reason] for r in report.rejects]
        out.print(table(["file", "row", "line", "field", "value", "reason"], rejected, right=["row", "line"]))
        more = report.total("rejected") - len({(r.feed, r.row) for r in report.rejects})
        if more > 0:
            out.print(f"... and {rows(more)} more (--limit shows more of them)")
    for note in _notes(report.feeds):
        out.print(note, soft_wrap=True, markup=False)
    out.print(Text(f"\n{_sentence(report)}"), soft_wrap=True)


def _dash(count: int | None) -> str:
    return "-" if count is None else f"{count:,}"


def _notes(feeds: Iterable[FeedReport]) -> Iterable[str]:
    for feed in feeds:
        if feed.renamed:
            yield f"{feed.rule}: {rows(feed.renamed)} of those updated had another key before."
        for note in feed.notes:
            yield f"{feed.rule}: {note}"


def _sentence(report: ImportReport) -> str:
    run = f"Run {report.run}: {report.status}."
    if report.error:
        return f"{run} {report.error}"
    kept = f" The rejected rows are in {report.rejects_file}." if report.rejects_file else ""
    if report.dry_run:
        return f"{run} {rows(report.changes)} would change; nothing was written.{kept}"
    if not report.changes:
        return f"{run} Nothing was changed.{kept}"
    return f"{run} Changed: {rows(report.changes)}.{kept} To take it back: manage.py integrity undo {report.run}"
