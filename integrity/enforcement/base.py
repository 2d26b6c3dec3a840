"""What every way to keep a rule true in the database has in common; `enforce` knows no other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

from django.db import transaction

from integrity.rules.base import Rule
from integrity.shown import counted
from integrity.statement import Statement

MISSING, GUARDED, ENFORCED, OUTDATED, DISABLED = "missing", "guarded", "enforced", "outdated", "disabled"
RETIRED = "retired"
"""A table has gone by design, and with it what was to be kept true."""


class Found(NamedTuple):
    """What the database does for a rule now, and why where the state alone does not say it."""

    state: str
    why: str = ""


@dataclass(frozen=True)
class Step:
    """Statements of which all or none are carried out.

    alone: a single one that PostgreSQL refuses in a transaction. Killed or failed half-way it leaves something behind,
    which ``found()`` tells from the catalog and the next ``guard()`` begins with taking away. tables: locked first, all
    of them at once, because writers of one write to another.
    """

    statements: tuple[Statement, ...]
    alone: bool = False
    tables: tuple[str, ...] = ()


class Enforcement(ABC):
    """One way to keep one rule true. It describes: every statement is carried out by ``enforce``.

    dirty: what becomes of a table on which the rule is broken: "guard" it all the same, "ask" a person first, or
    "refuse". recorded: the catalog cannot tell that the rule was found to hold, so that this is written down.
    """

    dirty: ClassVar[Literal["guard", "ask", "refuse"]] = "guard"
    recorded: ClassVar[bool] = False
    needs_pgtrigger: ClassVar[bool] = False
    writes: ClassVar[bool] = False
    """True when it writes rows of the rule in answer to writes of others."""
    mirrors: ClassVar[bool] = False
    """True when it does so in either direction, so that taking a write back in one table takes it back in both."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    @abstractmethod
    def found(self, using: str) -> Found:
        """Declared against installed, from the catalog. Leaves nothing behind."""

    @abstractmethod
    def guard(self, using: str) -> list[Step]:
        """What lets no new violation in, from any state but guarded and enforced."""

    def validate(self, using: str) -> list[Step]:
        """What proves, once guarded, that every row obeys."""
        return []

    @abstractmethod
    def remove(self, using: str) -> list[Step]:
        """What takes it away again; nothing where nothing is. Raises Refused for what is not the rule's own."""

    def left_over(self, using: str) -> list[Step]:
        """What takes away the rest of a step outside a transaction that failed."""
        return []

    def refuse(self, using: str) -> None:  # noqa: B027  (most can be installed everywhere)
        """Raise Refused for tables that it cannot be installed on."""

    def refusal(self, violations: int) -> str:
        """Why it is not installed or proven over so many violations, and the way out."""
        stand = "stands" if violations == 1 else "stand"
        return f"{counted(violations, 'violation')} of {self.rule.label} {stand} in the way. {self.way_out()}"

    def way_out(self) -> str:
        """The command that comes next where the rule is broken."""
        strategy = next(iter(self.rule.repairs), None)
        wanted = f"repair {self.rule.label} --strategy {strategy}" if strategy else f"analyze {self.rule.label}"
        return f"Next: manage.py integrity {wanted}"

    @abstractmethod
    def declare(self) -> None:
        """Hand it to Django's migrations. Called once more where a test changes INSTALLED_APPS."""

    def version(self) -> str:
        """A hash of all that is declared, where ``recorded``."""
        return ""

    def trigger_names(self) -> set[str]:
        """Its triggers, which may fire during a repair."""
        return set()

    def kept_columns(self) -> set[str]:
        """Columns of the rule's table that it writes."""
        return set()


@contextmanager
def taken_back(using: str) -> Iterator[None]:
    """What is made meanwhile, to see how PostgreSQL prints it, does not stay."""
    with transaction.atomic(using=using):
        yield
        transaction.set_rollback(True, using=using)


def together(*statements: Statement) -> Step:
    """Statements of one transaction."""
    return Step(statements)


def declare_constraint(rule: Rule, constraint: Any) -> None:
    """Put a constraint among those of the model, unless one of its name is there."""
    opts: Any = rule.model._meta
    if any(known.name == constraint.name for known in opts.constraints):
        return
    opts.constraints = [*opts.constraints, constraint]
    # The state of a model that migrations compare is read from what its Meta said.
    opts.original_attrs["constraints"] = opts.constraints
