"""What was done: the last runs, the last of each import, and what waits in quarantine."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from integrity.importing.declarations import Import
from integrity.models import Quarantined, Result, Run

SHOWN = 8


def last_runs(*, limit: int = SHOWN) -> list[Run]:
    """The latest runs, each with ``rules``, ``found``, ``wrote`` and ``of_rule``: one query."""
    return list(summed(Run.objects.order_by("-pk"))[:limit])


def summed(runs: Any) -> Any:
    """Runs with what their results add up to, and the name of one of their rules."""
    results = Result.objects.filter(run=OuterRef("pk")).order_by().values("run")
    return runs.annotate(
        rules=Coalesce(Subquery(results.annotate(n=Count("pk")).values("n")), 0),
        found=Coalesce(Subquery(results.annotate(n=Sum("violations")).values("n")), 0),
        wrote=Coalesce(Subquery(results.annotate(n=Sum("changes")).values("n")), 0),
        of_rule=Subquery(Result.objects.filter(run=OuterRef("pk")).order_by("pk").values("rule")[:1]),
    )


@dataclass(frozen=True)
class LastImport:
    """A declared import and its last run; None where there was none."""

    label: str
    run: Run | None


def last_imports(imports: Iterable[Import]) -> list[LastImport]:
    """The last run of each import that is no dry run: one query."""
    runs = Run.objects.filter(verb=Run.Verb.IMPORT, dry_run=False).order_by("options__import", "-pk")
    found = {run.options.get("import"): run for run in runs.distinct("options__import")}
    return [LastImport(one.label, found.get(one.label)) for one in imports]


def in_quarantine() -> int:
    """How many rows are kept apart."""
    return Quarantined.objects.count()
