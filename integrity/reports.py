"""What a verb answers: facts first, from which every door makes its sentences, its JSON and its exit code."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from integrity import statuses
from integrity.keys import Key


class States(NamedTuple):
    """What the database does for a rule: a word of ``enforcement``, and one of ``tracking``; empty where nothing is."""

    enforcement: str = ""
    tracking: str = ""
    why: str = ""
    """Why it is not enforced, where the word does not say it."""


@dataclass(frozen=True)
class Finding:
    """One violation. ``actual`` and ``expected`` are by column name; values are typed, as the database gave them."""

    key: Key
    actual: dict[str, Any]
    expected: dict[str, Any]
    evidence: dict[str, Any]


@dataclass
class RuleReport:
    """What a run found, and did, for one rule."""

    rule: str
    status: str = statuses.RUNNING
    checked: int | None = None
    violations: int | None = None
    seconds: float | None = None
    counts: dict[str, int] = field(default_factory=dict)
    """The sorts that a rule of two tables counts apart: identical, modified, only_left, only_right. Of a
    rebuilt table: rows, distinct_rows, distinct_keys, kept, removed."""
    sample: list[Finding] = field(default_factory=list)
    truncated: bool = False
    suspects: int | None = None
    """What may be wrong and is no violation; None where nothing is suspected by declaration."""
    suspected: list[Suspect] = field(default_factory=list)
    new: int | None = None
    """Stored violations seen for the first time."""
    resolved: int | None = None
    accepted: int = 0
    changed: int | None = None
    """Keys that were looked at because they had changed since; None for a look at all that was asked for."""
    unnoticed: int | None = None
    """Keys of a tracked rule that a look at everything found otherwise than was noted; None: not compared."""
    strategy: str = ""
    changes: int = 0
    outcomes: dict[str, int] = field(default_factory=dict)
    """Rows by what became of them, in the words of the repair: deleted, merged, nullified, quarantined, ..."""
    undecided: list[Undecided] = field(default_factory=list)
    """The first values that a repair could not decide about."""
    waited: dict[str, float] = field(default_factory=dict)
    """Seconds by what was waited for between batches: pause, replication lag, vacuum, lock waits."""
    skipped: int = 0
    reasons: list[str] = field(default_factory=list)
    """Why keys were skipped, the first few."""
    enforcement: str = ""
    """missing, guarded, enforced, outdated or disabled; empty where none is declared."""
    notes: list[str] = field(default_factory=list)
    """What a door adds for people."""
    brake: str = ""
    """In a dry run: that the brake would stop this, and how to open it."""
    planned: list[PlannedChange] = field(default_factory=list)
    conflicts: list[Conflict] = field(default_factory=list)
    error: str = ""
    sql: str = ""


@dataclass(frozen=True)
class Suspect:
    """Rows of several keys that may say the same: what they have in common, and the ids in which they differ."""

    told: dict[str, Any]
    ids: dict[str, list[Any]]
    rows: int


@dataclass(frozen=True)
class Wider:
    """What was seen around the keys of a repair: rows looked at in all, and violations that are none of its keys."""

    checked: int
    left_alone: int


@dataclass(frozen=True)
class PlannedChange:
    """One row that a repair would write, or wrote: old and new values of the columns that change."""

    table: str
    op: str
    row: dict[str, Any]
    owner: Key
    old: dict[str, Any]
    new: dict[str, Any]
    evidence: dict[str, Any]


@dataclass(frozen=True)
class Undecided:
    """A value that a repair left alone because it cannot tell what is right, and what it may be.

    candidates: each with ``id``, and ``for`` and ``against``, how many witnesses by step.
    """

    value: Any
    outcome: str
    rows: int
    why: str
    candidates: list[dict[str, Any]]


@dataclass(frozen=True)
class Conflict:
    """A row that an undo left alone, and why."""

    table: str
    key: dict[str, Any]
    why: str


@dataclass
class Report:
    """The answer of one run."""

    run: int
    verb: str
    dry_run: bool = False
    rules: list[RuleReport] = field(default_factory=list)
    error: str = ""
    resumed: bool = False

    @property
    def status(self) -> str:
        worst = statuses.worst([rule.status for rule in self.rules])
        # "Refused" promises that nothing was written.
        return statuses.PARTIAL if worst == statuses.REFUSED and self.changes else worst

    @property
    def changes(self) -> int:
        return sum(rule.changes for rule in self.rules)

    @property
    def exit_code(self) -> int:
        """0 clean, 1 violations or planned changes, 3 something was not checked or not finished."""
        return statuses.EXIT_CODES[self.status]


def added(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The counts of both together."""
    return {word: one.get(word, 0) + other.get(word, 0) for word in (*one, *other)}


def rows(count: int) -> str:
    """``1 row`` or ``1,200 rows``."""
    return f"{count:,} row{'' if count == 1 else 's'}"
