"""Rows that were not imported: which, why, and how many may be."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from integrity.exceptions import EngineError, Refused
from integrity.models import RejectedRow, Run

STORED = 10_000
"""How many problems of one run are kept; the file and the report hold no more."""


@dataclass(frozen=True)
class Reject:
    """What is wrong with one field of one row, or with the row where ``field`` is empty."""

    feed: str
    file: str
    row: int
    """Which row of the file it is; several may stand on one line."""
    line: int
    field: str
    value: str | None
    reason: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" {self.value!r}"
        field = f" {self.field}{shown}:" if self.field else ""
        return f"{self.file}, line {self.line} (row {self.row}):{field} {self.reason}"


class TooManyRejected(Refused):
    """More rows than the error budget allows; nothing was written."""


class NotWritten(EngineError):
    """The file of the rejected rows could not be written; nothing else was either."""


class Rejects:
    """Collects problems, and stops the import when more rows have one than may."""

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.found: list[Reject] = []
        self.rows: set[tuple[str, int]] = set()

    def add(self, reject: Reject) -> None:
        """One more problem. Raises TooManyRejected."""
        self.rows.add((reject.feed, reject.row))
        if len(self.found) < STORED:
            self.found.append(reject)
        if len(self.rows) > self.budget:
            raise TooManyRejected(
                f"More than {self.budget} rows are wrong, the first: {self.found[0]}. Nothing was written. Correct"
                " the files, or allow more with --error-budget."
            )

    def extend(self, rejects: Iterable[Reject]) -> None:
        for reject in rejects:
            self.add(reject)

    def count(self, feed: str) -> int:
        """How many rows of a feed were rejected."""
        return sum(label == feed for label, _ in self.rows)

    def store(self, run: Run) -> None:
        """Keep them with the run."""
        RejectedRow.objects.bulk_create([RejectedRow(run=run, **asdict(reject)) for reject in self.found], 1000)

    def write(self, path: Path) -> None:
        """Write them as JSON lines; a file that cannot be written whole is not left half. Raises NotWritten."""
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with beside.open("w", encoding="utf-8") as file:
                for reject in self.found:
                    file.write(json.dumps(asdict(reject), ensure_ascii=False) + "\n")
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise NotWritten(
                f"The rejected rows could not be written to {path}: {error.strerror}. Nothing was imported. Make room,"
                " or name another file with --rejects."
            ) from None
