"""What is known of an import after it: counts, differences by table, and rows that were rejected."""

from __future__ import annotations

from typing import Any

from django.db.models import Q, QuerySet

from integrity import statuses
from integrity.importing.known import imports
from integrity.importing.reports import COUNTS
from integrity.importing.uploads import without_folder
from integrity.models import RejectedRow, Run

WRITTEN = ("inserted", "updated", "deactivated")
NUMBERS = (*COUNTS, "renamed")


def imports_done(name: str | None = None) -> QuerySet[Run, Run]:
    """The runs that were imports, of one or of all; those that wait are among them."""
    found = Run.objects.filter(verb=Run.Verb.IMPORT).prefetch_related("results")
    if name is None:
        return found
    return found.filter(Q(options__import=name) | Q(options__call__import=name))


def import_object(run: Run) -> dict[str, Any]:
    """An import on one line of a list."""
    found = counts(feeds(run))
    return {
        "run": run.pk,
        "import": name_of(run),
        "status": run.status,
        "dry_run": run.dry_run,
        "only": _asked(run, "only"),
        "actor": run.actor,
        "reason": run.reason,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "seconds": seconds(run),
        **found,
        "error": without_folder(run.error) or None,
    }


def import_in_full(run: Run) -> dict[str, Any]:
    """An import with its feeds, what differed in each, and what referred to its tables."""
    return import_object(run) | {
        "feeds": feeds(run),
        "snapshots": [
            {
                "table": snapshot.table,
                "rows": snapshot.rows,
                "rows_after": snapshot.rows_after,
                "keys": snapshot.keys,
                "references": snapshot.references,
            }
            for snapshot in run.snapshots.all()
        ],
        "gates": gates(run),
        "undone_by": undone_by(run),
    }


def feeds(run: Run) -> list[dict[str, Any]]:
    """What became of the rows of each feed, and how many rows got another value in which field."""
    changed = run.options.get("changed", {})
    return [
        {
            "feed": result.rule,
            "status": result.status,
            "rows": result.checked,
            **{name: (result.outcomes or {}).get(name, 0) for name in NUMBERS},
            "fields": changed.get(result.rule, {}),
            "error": without_folder(result.error) or None,
        }
        for result in sorted(run.results.all(), key=lambda result: _place(run, result.rule))
    ]


def _place(run: Run, label: str) -> int:
    """Feeds stand in the order in which they are imported, as long as they are declared."""
    labels = [feed.label for wanted in imports if wanted.label == name_of(run) for feed in wanted.feeds]
    return labels.index(label) if label in labels else len(labels)


def counts(of: list[dict[str, Any]]) -> dict[str, int]:
    """What became of the rows of all these feeds."""
    return {name: sum(feed[name] for feed in of) for name in NUMBERS}


def gates(run: Run) -> list[str]:
    """The labels of the rules that were looked at before and after."""
    return list(run.options.get("gates", []))


def name_of(run: Run) -> str:
    """Which import it was, `app.name`."""
    return str(_asked(run, "import") or "")


def _asked(run: Run, option: str) -> Any:
    return run.options.get(option, (run.options.get("call") or {}).get(option))


def seconds(run: Run) -> float | None:
    """How long it took; None while it has not ended, and of one that never began."""
    if run.finished_at is None or run.status == statuses.QUEUED:
        return None
    return round((run.finished_at - run.started_at).total_seconds(), 3)


def undone_by(run: Run) -> int | None:
    """The run that took back something of it, the latest."""
    return run.followed_by.filter(verb=Run.Verb.UNDO, dry_run=False).values_list("pk", flat=True).first()


def rejected_object(row: RejectedRow) -> dict[str, Any]:
    """A row that was left out, and why."""
    return {
        "id": row.pk,
        "feed": row.feed,
        "file": without_folder(row.file),
        "row": row.row,
        "line": row.line,
        "field": row.field or None,
        "value": row.value,
        "reason": without_folder(row.reason),
    }
