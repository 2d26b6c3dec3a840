"""Runs: what was done, by whom and why, row by row; looked at again, taken back, held."""

from dataclasses import asdict
from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query

from integrity import control, engine
from integrity.api.answers import ChangesOut, ReportOut, RunInFullOut, RunOut, RunsOut
from integrity.api.asked import ChangesIn, RunsIn, UndoIn, VerifyIn, WaitIn
from integrity.api.fields import Id
from integrity.api.operation import SENT
from integrity.api.paging import page
from integrity.api.problems import Refusal, about
from integrity.api.routing import operations
from integrity.api.working import ROWS_A_SECOND, Errand, carry_out, keys_of
from integrity.models import Change, Run
from integrity.registry import registry
from integrity.rendering.listing import result_object, run_object
from integrity.repairs.base import DELETE, INSERT, UPDATE
from integrity.undo import undo
from integrity.workers import later
from integrity.workers.progress import progress

Number = Annotated[Id, Path(description="The number of the run.", examples=[12])]


@operations.get("/runs", "Runs", out=RunsOut)
def list_runs(request: HttpRequest, asked: Query[RunsIn]) -> dict[str, Any]:
    """What was done, the latest first."""
    found = Run.objects.prefetch_related("results")
    for name in ("verb", "status", "actor"):
        if (wanted := getattr(asked, name)) is not None:
            found = found.filter(**{name: wanted})
    if asked.rule is not None:
        found = found.filter(results__rule=asked.rule)
    if asked.since is not None:
        found = found.filter(started_at__gte=asked.since)
    rows, beyond = page(request, found, asked, latest_first=True)
    return {"runs": [run_object(run) for run in rows], "next": beyond}


@operations.get("/runs/{id}", "One run", out=RunInFullOut, refuses=(404,))
def show_run(request: HttpRequest, id: Number) -> dict[str, Any]:
    """What it found, and did, for each rule; while it works, how far it is and when it will be done."""
    run = _found(id)
    now = progress(run)
    return run_object(run) | {
        "results": [result_object(result) for result in run.results.all()],
        "progress": asdict(now) | {"share": now.share},
    }


@operations.get("/runs/{id}/changes", "The rows that a run wrote", out=ChangesOut, refuses=(404,))
def list_changes(request: HttpRequest, id: Number, asked: Query[ChangesIn]) -> dict[str, Any]:
    """Before and after, in the order in which they were written."""
    found = Change.objects.filter(run=_found(id))
    if asked.rule is not None:
        found = found.filter(rule=asked.rule)
    rows, beyond = page(request, found, asked)
    return {"changes": [_journaled(change) for change in rows], "next": beyond}


@operations.post(
    "/runs/{id}/verify",
    "Look again at what a run changed",
    scope="analyze",
    out=ReportOut,
    put_off=RunOut,
    refuses=(404, *SENT),
)
def verify_run(request: HttpRequest, id: Number, body: VerifyIn, asked: Query[WaitIn], response: HttpResponse) -> Any:
    """Every rule that reads a table which the run wrote, for the keys that it changed."""
    run = _found(id)
    actor = _actor(request)
    errand = Errand(
        lambda: engine.verify(run.pk, actor=actor, sample=body.sample),
        f"manage.py integrity verify {run.pk}",
        Change.objects.filter(run=run).count() / ROWS_A_SECOND,
        lambda: later.verify(run, actor=actor),
    )
    return carry_out(errand, request, response, wait=asked.wait)


@operations.post(
    "/runs/{id}/undo",
    "Take back what a run changed",
    scope="undo",
    out=ReportOut,
    put_off=RunOut,
    refuses=(404, 409, *SENT),
)
def undo_run(request: HttpRequest, id: Number, body: UndoIn, asked: Query[WaitIn], response: HttpResponse) -> Any:
    """As a run of its own, which can be undone too. A row that was changed since is a conflict: listed, and left."""
    run = _found(id)
    rule = None
    if body.rule is not None:
        with about("rule"):
            rule = registry.get(body.rule)
    if body.keys is not None and rule is None:
        raise Refusal(422, "Keys belong to a rule: say which one.", "rule")
    keys = keys_of([rule], body.keys) if rule else None
    actor, reason = _actor(request), body.reason
    waiting = Change.objects.filter(run=run, undone_by=None, **({"rule": rule.label} if rule else {}))
    errand = Errand(
        lambda: undo(
            run.pk, rule=rule, keys=keys, dry_run=body.dry_run, actor=actor, reason=reason, sample=body.sample
        ),
        f"manage.py integrity undo {run.pk}",
        0 if keys else waiting.count() / ROWS_A_SECOND,
        lambda: later.undo(run, rule=rule, keys=keys, dry_run=body.dry_run, actor=actor, reason=reason),
    )
    return carry_out(errand, request, response, wait=asked.wait)


@operations.post("/runs/{id}/pause", "Pause a run", scope="control", out=RunOut, refuses=(404,))
def pause_run(request: HttpRequest, id: Number) -> dict[str, Any]:
    """A repair or undo waits before its next batch."""
    return run_object(control.pause(id, actor=_actor(request)))


@operations.post("/runs/{id}/resume", "Resume a run", scope="control", out=RunOut, refuses=(404,))
def resume_run(request: HttpRequest, id: Number) -> dict[str, Any]:
    """A paused run goes on."""
    return run_object(control.resume(id, actor=_actor(request)))


@operations.post("/runs/{id}/cancel", "Cancel a run", scope="control", out=RunOut, refuses=(404,))
def cancel_run(request: HttpRequest, id: Number) -> dict[str, Any]:
    """It ends before its next batch, as `partial`; what was committed stays."""
    return run_object(control.cancel(id, actor=_actor(request)))


def _found(number: int) -> Run:
    run = Run.objects.prefetch_related("results").filter(pk=number).first()
    if run is None:
        raise Refusal(404, f"There is no run {number}.")
    return run


def _actor(request: HttpRequest) -> str:
    return str(request.auth)  # type: ignore[attr-defined]


def _journaled(change: Change) -> dict[str, Any]:
    op = INSERT if change.before is None else DELETE if change.after is None else UPDATE
    return {
        "id": change.pk,
        "rule": change.rule,
        "table": change.table,
        "op": op,
        "key": change.key,
        "owner": change.owner,
        "before": change.before,
        "after": change.after,
        "undone_by": change.undone_by_id,
    }
