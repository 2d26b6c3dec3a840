"""What an import answers, feed by feed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from integrity import statuses
from integrity.importing.rejects import Reject
from integrity.reports import Report, RuleReport
from integrity.schedules.healing import Healed

COUNTS = ("inserted", "updated", "unchanged", "deactivated", "rejected")


@dataclass
class FeedReport(RuleReport):
    """What became of the rows of one feed. ``rule`` is the feed's label, ``checked`` the number of its rows."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deactivated: int = 0
    rejected: int = 0
    renamed: int = 0
    """Of those updated: rows that were recognised by the provider's number and have another key now."""
    fields: dict[str, int] = field(default_factory=dict)
    """Of those updated: how many got another value in which field."""

    @property
    def written(self) -> int:
        """Rows of the table that were written."""
        return self.inserted + self.updated + self.deactivated

    def numbers(self) -> dict[str, int]:
        """What became of the rows, by name."""
        return {name: getattr(self, name) for name in (*COUNTS, "renamed")}


@dataclass
class ImportReport(Report):
    """The answer of an import: a report for each feed, and the rows that were rejected."""

    name: str = ""
    rejects: list[Reject] = field(default_factory=list)
    rejects_file: str = ""
    look: Report | None = None
    """What a look at rules with automatic repairs has found afterwards; None where none is concerned."""
    healed: list[Healed] = field(default_factory=list)
    gates: list[str] = field(default_factory=list)
    """Labels of the rules that were looked at before and after."""
    unreadable: str = ""
    """The name of the feed whose file could not be read."""

    @property
    def feeds(self) -> list[FeedReport]:
        """The reports of the feeds."""
        return [rule for rule in self.rules if isinstance(rule, FeedReport)]

    @property
    def status(self) -> str:
        looked = [self.look.status] if self.look else []
        worst = statuses.worst([*(rule.status for rule in self.rules), *looked])
        return statuses.REFUSED if worst == statuses.REFUSED else worst

    def total(self, count: str) -> int:
        """A count over all feeds."""
        return sum(getattr(feed, count) for feed in self.feeds)

    def as_json(self) -> dict[str, Any]:
        """What JSON has besides the keys of every report."""
        return {
            "import": self.name,
            "feeds": [
                {"feed": feed.rule, "rows": feed.checked, **feed.numbers(), "fields": feed.fields, "notes": feed.notes}
                for feed in self.feeds
            ],
            "rejected": [
                {
                    "feed": r.feed,
                    "file": r.file,
                    "row": r.row,
                    "line": r.line,
                    "field": r.field or None,
                    "value": r.value,
                    "reason": r.reason,
                }
                for r in self.rejects
            ],
            "rejects_file": self.rejects_file or None,
            "repairs": [one.as_json() for one in self.healed],
        }
