"""What every kind of rule has in common. A rule describes; the engine acts: no rule ever saves anything."""

from __future__ import annotations

import datetime
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from django.core.checks import CheckMessage, Error
from django.db.models import Field, Model, Q, QuerySet

from integrity.compiler import population
from integrity.exceptions import UnknownName, WrongDeclaration
from integrity.keys import Key, columns_of, key_as_json, key_from_json, parse
from integrity.limits import Limit
from integrity.paths import Path, lookups, resolve
from integrity.rules.tracking_problems import tracking_problems
from integrity.schedules.automatic import Automatic, automatic_problems
from integrity.schedules.schedule import schedule_problems
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name

if TYPE_CHECKING:
    from integrity.repairs.base import Repair
    from integrity.reports import Finding

Severity = Literal["error", "warning", "info"]
SEVERITIES = ("error", "warning", "info")
NAME = re.compile(r"[a-z][a-z0-9_]*")


class Rule(ABC):
    """A declared truth about the rows of one model.

    name: required, unique in the app, lower case with underscores; it is stored in records. because: the reason, one
    sentence. where: which rows the rule speaks about. settle: lookup -> least age; younger rows are reported but not
    repaired. while_exists: the table disappears by design; once gone the rule is ``retired``, which counts as clean.
    repairs: strategy name -> one repair or several that are applied together. enforce: the database keeps it true, by a
    constraint or triggers that migrations and ``integrity enforce`` install. tracked: triggers note what changes, so
    that ``analyze --changed`` looks at no more. every: when ``integrity run --due`` looks at it, "1h" or "0 3 * * *";
    sweep: of a tracked rule, when it looks at everything, and at what has changed in between. automatic: a repair that
    follows such a look, or an import, without a person. alert_above: a limit, "5%" or 100 violations, past which people
    are told again.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        model: type[Model],
        *,
        name: str,
        because: str,
        where: Q | None = None,
        severity: Severity = "error",
        tags: Sequence[str] = (),
        owner: str = "",
        settle: Mapping[str, datetime.timedelta] | None = None,
        while_exists: bool = False,
        enforce: bool = False,
        tracked: bool = False,
        every: str | None = None,
        sweep: str | None = None,
        automatic: Automatic | None = None,
        alert_above: str | int | None = None,
        repairs: Mapping[str, Repair | Sequence[Repair]] | None = None,
    ) -> None:
        self.model = model
        self.name = name
        self.because = because
        self.where = where
        self.severity = severity
        self.tags = tuple(tags)
        self.owner = owner
        self.settle = dict(settle or {})
        self.while_exists = while_exists
        self.enforce = enforce
        self.tracked = tracked
        self.every, self.sweep = every, sweep
        self.automatic = automatic
        self.alert_above = alert_above
        self.app = ""
        self._all_paths: list[Path] | None = None
        self.repairs: dict[str, tuple[Repair, ...]] = {
            strategy: tuple(steps) if isinstance(steps, Sequence) else (steps,)
            for strategy, steps in (repairs or {}).items()
        }

    # What a kind answers

    @abstractmethod
    def violations(self, scope: Scope, using: str) -> Statement:
        """A SELECT of the rows in scope that break the rule.

        Columns: ``key__<field>`` for each field of the key, ``actual__<name>``, ``expected__<name>`` and
        ``evidence__<name>``. Read-only and set-based.
        """

    @abstractmethod
    def paths(self) -> list[Path]:
        """Every lookup path that the truth of a row depends on; the rule's own columns included."""

    def shown(self) -> list[Path]:
        """Further lookup paths, which only say more about a violation."""
        return []

    def suspected(self, scope: Scope, using: str, limit: int) -> Statement | None:
        """A SELECT of what may be wrong and is no violation; None where the kind or the rule suspects nothing.

        Columns: ``suspects``, the number of all, ``told__<name>``, ``ids__<name>`` and ``rows``.
        """
        return None

    def expressions(self) -> list[Any]:
        """Every condition and expression that decides whether a row breaks the rule, as declared."""
        return [self.where]

    def reads_whole(self) -> tuple[type[Model], ...]:
        """Models of which any row may concern any key, so that the rule can only be checked whole."""
        return ()

    def stands_on(self) -> set[type[Model]]:
        """Models whose rows the expected values follow; when all of them are empty, something was lost."""
        return set()

    def falls_back_on(self) -> list[tuple[str, ...]]:
        """For each value that follows those models, fields one of which says it where they are empty; or nothing."""
        return []

    def problems(self) -> Iterable[WrongDeclaration]:
        """What is wrong with the declaration of this kind; found when Django starts."""
        return ()

    # What is the same for all

    def restrict(self, queryset: QuerySet[Any, Any], scope: Scope) -> QuerySet[Any, Any]:
        """Rows of the rule's own table that belong to the keys in scope."""
        return scope.restrict_root(queryset)

    def roots(self) -> tuple[type[Model], ...]:
        """The models whose rows bear the key themselves, in the order in which a repair locks them."""
        return (self.model,)

    def keys_of_rows(self, source: Statement, root: type[Model] | None = None) -> Statement:
        """A SELECT of the key, by field name, of rows of the table of a root, the rule's own unless given."""
        columns = [
            compose("r.{column} AS {key}", column=name(str(key.column)), key=name(key.name))
            for key in columns_of(self.model)
        ]
        return compose("SELECT {columns} FROM ({source}) AS r", columns=joined(", ", columns), source=source)

    @property
    def divisible(self) -> bool:
        """True where looking at a stretch of its keys costs as much as there are rows in it, and no more."""
        return False

    keys_may_be_null: ClassVar[bool] = False
    needs_other_rows: ClassVar[bool] = True
    """False where a row of the rule's own table, or several that are alike, cannot break it because another is gone."""
    planner: ClassVar[Mapping[str, str]] = {}
    """Settings of PostgreSQL's planner for a look at whole tables."""

    def counts(self) -> dict[str, Statement]:
        """Sorts of violations that are counted, each with the condition over a row ``v`` of ``violations()``."""
        return {}

    def total(self, checked: int, counts: Mapping[str, int]) -> int:
        """How many keys were looked at, given what ``population()`` answered and how many there are of each sort."""
        return checked

    def told(self, finding: Finding) -> Finding:
        """A finding as people and programs are told of it."""
        return finding

    @property
    def label(self) -> str:
        """``app.name``, the name in commands and records."""
        return f"{self.app}.{self.name}"

    @property
    def key_fields(self) -> list[Field[Any, Any]]:
        """The fields of the key that a violation has."""
        return columns_of(self.model)

    def parse_key(self, text: str) -> Key:
        """A typed key from the command line. Raises UsageError."""
        return parse(self.key_fields, self.model._meta.label, text)

    def key_as_json(self, key: Key) -> dict[str, Any]:
        return key_as_json(self.key_fields, key)

    def key_from_json(self, stored: dict[str, Any]) -> Key:
        return key_from_json(self.key_fields, stored)

    def population(self, scope: Scope, using: str) -> Statement:
        """``SELECT count(*) AS checked`` of the rows in scope that the rule speaks about."""
        return population(self.model, using=using, where=self.where, scope=scope)

    def reads(self) -> set[type[Model]]:
        """Every model whose rows the rule depends on."""
        found = {self.model, *self.reads_whole()}
        for path in (*self.all_paths(), *self.shown()):
            found.update(hop.model for hop in path.hops)
        return found

    def all_paths(self) -> list[Path]:
        """The paths of the kind and those of ``where``."""
        # Asked for by each batch and each rule of its tables, and the same for as long as the models are.
        if self._all_paths is None:
            self._all_paths = [
                *self.paths(),
                *(resolve(self.model, lookup) for lookup in lookups(self.where or Q())),
            ]
        return self._all_paths

    def strategy(self, wanted: str | None) -> tuple[str, tuple[Repair, ...]]:
        """The repair by name, or the only one. Raises UnknownName listing what there is."""
        if wanted is None and len(self.repairs) == 1:
            wanted = next(iter(self.repairs))
        if wanted is None or wanted not in self.repairs:
            raise UnknownName(f"strategy for {self.label}:", wanted or "", list(self.repairs))
        return wanted, self.repairs[wanted]

    def check(self) -> list[CheckMessage]:
        """System checks of the declaration, each with an id and a hint."""
        try:
            problems = [
                *self._common_problems(),
                *schedule_problems(self),
                *self.problems(),
                *self._repair_problems(),
                *automatic_problems(self),
            ]
            if self.enforce and not problems:
                problems = list(self.enforcement_problems())
            if self.tracked and not problems:
                problems = list(tracking_problems(self))
        except WrongDeclaration as only:
            problems = [only]
        return [
            Error(f"{self.label}: {problem.message}.", hint=problem.hint, obj=self.model, id="integrity.E002")
            for problem in problems
        ]

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        """Why the database cannot keep this rule true; asked where ``enforce`` is declared."""
        yield WrongDeclaration(f"the kind {self.kind!r} is not enforced by the database", "Leave enforce= out.")

    def _common_problems(self) -> Iterable[WrongDeclaration]:
        if not NAME.fullmatch(self.name):
            yield WrongDeclaration(
                f"the name {self.name!r} is not lower case letters, digits and underscores",
                "Names are stored in records.",
            )
        if not self.because.strip():
            yield WrongDeclaration(
                "it does not say because of what it holds", "Give because=, one sentence for people."
            )
        if self.severity not in SEVERITIES:
            yield WrongDeclaration(f"the severity {self.severity!r} is unknown", f"One of {', '.join(SEVERITIES)}.")
        if self.alert_above is not None:
            Limit.declared(self.alert_above)
        for lookup in (*lookups(self.where or Q()), *self.settle):
            if resolve(self.model, lookup).multiplies:
                yield WrongDeclaration(
                    f"{lookup!r} leads to many rows and cannot say which rows the rule speaks about",
                    "Use Exists() over the related model.",
                )

    def _repair_problems(self) -> Iterable[WrongDeclaration]:
        for strategy, steps in self.repairs.items():
            for step in steps:
                try:
                    for problem in step.problems(self):
                        yield WrongDeclaration(f"repair {strategy!r} {problem.message}", problem.hint)
                except WrongDeclaration as only:
                    yield WrongDeclaration(f"repair {strategy!r}: {only.message}", only.hint)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.label}>"
