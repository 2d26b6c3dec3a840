"""Imports: files that are sent become rows, at once or by a worker; and what became of those before.

A router of its own: ``api.add_router("/imports", imports)``.
"""

from typing import Annotated, Any

from django.http import HttpRequest, HttpResponse
from ninja import Path, Query, Router, Status
from ninja.errors import ValidationError as WrongMembers
from pydantic import ValidationError

from integrity.api.fields import Id
from integrity.api.import_forms import (
    SENT_FILES,
    ImportIn,
    ImportInFullOut,
    ImportsIn,
    ImportsOut,
    ImportWaitIn,
    RejectedIn,
)
from integrity.api.operation import SENT, Operations
from integrity.api.paging import page
from integrity.api.problems import Refusal, about
from integrity.api.receiving import SendingKey, SendingStaff, received
from integrity.importing.declarations import Import
from integrity.importing.history import import_in_full, import_object, imports_done, rejected_object
from integrity.importing.known import imports as known
from integrity.importing.putting_off import put_off
from integrity.importing.uploads import Upload, WrongFile, without_folder
from integrity.importing.verb import run_import
from integrity.models import RejectedRow, Run
from integrity.workers import queue

imports = Router(tags=["imports"])
operations = Operations(imports)
Number = Annotated[Id, Path(description="The number of the run.", examples=[12])]
FIRST = RejectedIn.model_validate({})
READERS = ("read", "import")


@operations.post(
    "",
    "Import files",
    scope="import",
    out=ImportInFullOut,
    put_off=ImportInFullOut,
    refuses=(*SENT, 409),
    auth=[SendingKey("import"), SendingStaff("import")],
    extra=SENT_FILES,
)
def send_import(request: HttpRequest, response: HttpResponse, how: Query[ImportWaitIn]) -> Any:
    """All rows of all files, or none; rows that are wrong are left out and listed, up to the error budget.

    Each file is a part that is called like its feed, as in `curl -F import=shop.nightly -F product=@products.csv`.
    Without `wait` a worker process imports them: the answer is the run that waits for it, and `Location` says where it
    is told of. With `wait` the answer is what became of it. One import of a feed at a time: 409 names the other one.
    """
    upload = received(request)
    try:
        asked = _asked(request)
        with about("import"):
            wanted = known.get(asked.name)
        _require(upload, wanted, asked)
        if how.wait:
            return _shown(request, _import(request, upload, wanted, asked), FIRST)
        run = _put_off(request, upload, wanted, asked)
        response["Location"] = _place(request, run)
        return Status(202, _shown(request, run, FIRST))
    finally:
        upload.discard()


@operations.get("", "Imports", out=ImportsOut, scopes=READERS)
def list_imports(request: HttpRequest, asked: Query[ImportsIn]) -> dict[str, Any]:
    """What was imported, the latest first; those that wait or are at work too."""
    found = imports_done(asked.name)
    if asked.status is not None:
        found = found.filter(status=asked.status)
    rows, beyond = page(request, found, asked, latest_first=True)
    return {"imports": [import_object(run) for run in rows], "next": beyond}


@operations.get("/{id}", "One import", out=ImportInFullOut, scopes=READERS, refuses=(404,))
def show_import(request: HttpRequest, id: Number, asked: Query[RejectedIn]) -> dict[str, Any]:
    """What became of each feed, what differed, and the rows that were rejected, page by page."""
    run = imports_done().filter(pk=id).first()
    if run is None:
        raise Refusal(404, f"There is no import with the run {id}.")
    return _shown(request, run, asked)


def _asked(request: HttpRequest) -> ImportIn:
    """The members that are no files. Raises WrongMembers, naming them."""
    members = request.POST.lists()
    twice = [name for name, values in members if len(values) > 1]
    if twice:
        raise Refusal(422, f"{twice[0]} was sent more than once.", twice[0])
    try:
        return ImportIn.model_validate(request.POST.dict())
    except ValidationError as error:
        found = [{**one, "loc": ("form", "body", *one["loc"])} for one in error.errors(include_url=False)]
        for one in found:
            one.pop("ctx", None)
            if one["type"] == "extra_forbidden":
                one["msg"] = "is no member of this request. Send a file with a file name"
        raise WrongMembers(found) from error


def _require(upload: Upload, wanted: Import, asked: ImportIn) -> None:
    if asked.only is not None and not wanted.has_parts:
        raise Refusal(422, f"No feed of {wanted.label} declares a part: leave it out.", "only")
    try:
        upload.require(wanted)
    except WrongFile as wrong:
        raise Refusal(422, str(wrong), wrong.part) from wrong


def _import(request: HttpRequest, upload: Upload, wanted: Import, asked: ImportIn) -> Run:
    report = run_import(
        wanted,
        upload.folder,
        only=asked.only,
        dry_run=asked.dry_run,
        batch_size=asked.batch_size,
        error_budget=asked.error_budget,
        actor=_actor(request),
        reason=asked.reason or "",
    )
    if report.unreadable:
        raise Refusal(422, without_folder(report.error), upload.part_of(wanted.feed(report.unreadable)))
    return imports_done().get(pk=report.run)


def _put_off(request: HttpRequest, upload: Upload, wanted: Import, asked: ImportIn) -> Run:
    if not queue.is_there():
        raise Refusal(
            422, "No worker processes are set up here. Ask with ?wait=1 to import within the request.", "wait"
        )
    return put_off(
        wanted,
        upload,
        only=asked.only,
        dry_run=asked.dry_run,
        batch_size=asked.batch_size,
        error_budget=asked.error_budget,
        actor=_actor(request),
        reason=asked.reason or "",
    )


def _shown(request: HttpRequest, run: Run, asked: RejectedIn) -> dict[str, Any]:
    found = RejectedRow.objects.filter(run=run)
    if asked.feed is not None:
        found = found.filter(feed=asked.feed)
    rows, beyond = page(request, found, asked, path=_place(request, run))
    return import_in_full(run) | {"rejected_rows": [rejected_object(row) for row in rows], "next": beyond}


def _place(request: HttpRequest, run: Run) -> str:
    """Where an import is told of."""
    above = request.path.rstrip("/")
    return above if request.method == "GET" else f"{above}/{run.pk}"


def _actor(request: HttpRequest) -> str:
    return str(request.auth)  # type: ignore[attr-defined]
