"""What the API of imports is asked, and what it answers."""

from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Field, Schema
from pydantic import ConfigDict

from integrity.api.answers import Status
from integrity.api.asked import Page
from integrity.api.fields import Label, Reason, Text, Told
from integrity.importing.sources import SUFFIXES

MOST = 1_000_000
Number = Annotated[int, Field(le=MOST)]


class ImportIn(Schema):
    """The members that are no files."""

    model_config = ConfigDict(extra="forbid")

    name: Label = Field(alias="import", description="Which import, `app.name`.", examples=["shop.nightly"])
    only: Annotated[Text, Field(min_length=1, max_length=500)] | None = Field(
        None, description="Only this part of the feeds, such as one league; the rest stays."
    )
    dry_run: bool = Field(default=False, description="Do all of it and roll it back.")
    error_budget: Annotated[Number, Field(ge=0)] | None = Field(
        None, description="How many rows may be rejected before nothing is imported; left out: as declared."
    )
    batch_size: Annotated[Number, Field(ge=1)] | None = Field(
        None, description="Rows within one savepoint; left out: as declared."
    )
    reason: Reason | None = Field(None, description="Why, for the record.")


class ImportWaitIn(Schema):
    """How long to stay."""

    wait: bool = Field(default=False, description="Import within this request, and answer when it has ended.")


def _members() -> dict[str, Any]:
    """The same for the document, in which the parts that are files stand beside them."""
    described = ImportIn.model_json_schema(by_alias=True)
    return {
        **{key: described[key] for key in ("properties", "required")},
        "type": "object",
        "additionalProperties": {
            "type": "string",
            "format": "binary",
            "description": f"A file for each feed, the part called like the feed; {', '.join(SUFFIXES)}, in UTF-8.",
        },
    }


SENT_FILES: dict[str, Any] = {
    "requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _members()}}}
}


class ImportsIn(Page):
    """Which imports."""

    name: Label | None = Field(None, alias="import", description="Only of this import, `app.name`.")
    status: Literal["queued", "running", "clean", "violated", "partial", "failed", "refused"] | None = Field(
        None, description="Only those that stand so."
    )


class RejectedIn(Page):
    """Which of the rejected rows."""

    feed: Label | None = Field(None, description="Only those of this feed.")


class _Counted(Told):
    inserted: int
    updated: int
    unchanged: int
    deactivated: int = Field(description="Rows that are no longer in the feed and were marked so.")
    rejected: int
    renamed: int = Field(description="Of those updated: rows that have another natural key now.")


class ImportOut(_Counted):
    """An import, with its counts over all feeds."""

    run: int = Field(description="The number of its run.")
    import_: str = Field(alias="import", examples=["shop.nightly"])
    status: Status = Field(
        description=(
            "`clean`: imported. `partial`: imported but for rejected rows. `refused`, `failed`: nothing was written."
            " `violated`: a dry run would write. `queued`, `running`: it has not ended."
        )
    )
    dry_run: bool
    only: str | None
    actor: str
    reason: str
    started_at: datetime
    finished_at: datetime | None
    seconds: float | None = Field(description="null while it has not ended.")
    error: str | None = Field(description="Why nothing was written.")


class ImportsOut(Told):
    """A page of imports, the latest first."""

    imports: list[ImportOut]
    next: str | None = Field(description="Where the next page is; null on the last one.")


class FeedOut(_Counted):
    """What became of the rows of one feed."""

    feed: str = Field(examples=["shop.nightly.product"])
    status: Status
    rows: int | None = Field(description="Rows of the file; null where it was not read.")
    fields: dict[str, int] = Field(description="Of the updated rows: how many got another value in which field.")
    error: str | None


class SnapshotOut(Told):
    """What an import found before it wrote to a table."""

    table: str
    rows: int
    rows_after: int
    keys: int | None = Field(description="Rows of which the natural key is kept; null where none is declared.")
    references: list[dict[str, Any]] = Field(
        description="For each table that refers to it: the columns, rows that refer, rows that lead nowhere."
    )


class RejectedOut(Told):
    """What is wrong with one field of a row that was left out, or with the row where `field` is null."""

    id: int
    feed: str
    file: str
    row: int = Field(description="Which row of the file it is, from 1 on.")
    line: int = Field(description="On which it begins; 0 for a row of the table that the file does not have.")
    field: str | None
    value: str | None
    reason: str


class ImportInFullOut(ImportOut):
    """An import with its feeds, what referred to its tables, and a page of the rows that were left out."""

    feeds: list[FeedOut]
    snapshots: list[SnapshotOut] = Field(description="Empty where nothing was written.")
    gates: list[str] = Field(description="The rules that were looked at before and after.")
    undone_by: int | None = Field(description="The run that took back something of it.")
    rejected_rows: list[RejectedOut]
    next: str | None = Field(description="Where the next page of rejected rows is; null on the last one.")
