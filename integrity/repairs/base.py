"""A repair plans; the engine locks, checks, writes and journals what was planned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.scope import Scope
from integrity.statement import Statement

if TYPE_CHECKING:
    from integrity.models import Run
    from integrity.reports import Undecided
    from integrity.rules.base import Rule

INSERT, UPDATE, DELETE = "insert", "update", "delete"
# What became of rows, as reports count them; a repair may use words of its own.
DELETED, MERGED, NULLIFIED, QUARANTINED = "deleted", "merged", "nullified", "quarantined"

BY_ROW = "*"


@dataclass(frozen=True)
class Write:
    """Rows of one table that a repair wants to write.

    statement: a SELECT with the columns ``op`` (insert, update or delete), ``owner__<key>`` (the key of the violation
    that the row cures), ``row__<pk>`` (NULL for an insert), ``old__<column>`` for each of ``guards`` and
    ``new__<column>`` for each of ``sets``; any ``evidence__<name>`` is shown with the plan. A row is written only while
    it still has its ``old`` values. Where ``outcome`` is BY_ROW, the column ``outcome`` says it for each row.
    """

    model: type[Model]
    statement: Statement
    sets: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()
    locked: bool = False
    """The rows are those of the violating keys, which are locked before anything is planned."""
    cascades: bool = True
    """Rows that refer to deleted ones go along; False where earlier writes have pointed them elsewhere."""
    all_but_one: bool = False
    """The rows are all of their key but one."""
    protects: bool = False
    """Nothing is written: an owner that has such a row is left alone and reported."""
    why: str = "rows of another table refer to it and are protected"
    """The reason that is reported for an owner that is left alone."""
    alone: bool = False
    """A row that would take others along protects its owner."""
    outcome: str = ""
    """The word that counts the rows in reports (DELETED, ...), or BY_ROW; empty for rows that nobody counts apart."""
    owned_by: tuple[str, ...] = ()
    """Columns of an inserted row that hold the key of its owner, for the journal."""


class Repair(ABC):
    """A named way to cure violations of a rule.

    allow_triggers: names of triggers on the written tables that may fire; what such a trigger writes is not journaled
    and cannot be undone. Any other trigger that would fire stops the repair.
    """

    verb: ClassVar[str]
    """What it does, for people."""
    follows_reference: ClassVar[bool] = False
    """True when it makes rows follow other rows, and so must not run when those are gone."""
    of_each_key: ClassVar[bool] = False
    """True when it writes the violating rows themselves, one for each key, with what the rule says they should be. The
    keys found then say how many rows will be written, and the plan says what broke the rule.
    """
    one_row_each: ClassVar[bool] = False
    """True when it writes at most one row of each of its tables for a key, of which the keys found are then a bound."""
    whole: ClassVar[bool] = False
    """True when it makes a table anew instead of writing rows; the engine then does not ask it for a plan."""
    relation: str = ""
    """The related name of the rows that it writes, each of which counts for its own key alone; empty for other rows."""

    def __init__(self, *, allow_triggers: Sequence[str] = ()) -> None:
        self.allow_triggers = tuple(allow_triggers)

    @abstractmethod
    def writes(self, rule: Rule) -> list[type[Model]]:
        """The models whose tables it may write."""

    @abstractmethod
    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        """What to write for the violations in scope, computed from the rows as they are now. Set-based."""

    def prepared(self, rule: Rule, run: Run) -> Repair:
        """The repair as one run carries it out; asked once, before anything is planned, and again by whoever goes on
        with the run. For what must be decided from all violations before any is repaired, and must not be decided
        anew when half of them are. Called in a transaction.
        """
        return self

    def left(self, rule: Rule, scope: Scope, using: str, limit: int) -> tuple[dict[str, int], list[Undecided]]:
        """The violations in scope that it leaves on purpose, counted by why, and the first that are undecided."""
        return {}, []

    def columns(self, rule: Rule) -> tuple[str, ...]:
        """The columns that it sets; ``*`` when it inserts or deletes rows."""
        return ("*",)

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        """What makes the repair unfit for the rule; found when Django starts."""
        return ()
