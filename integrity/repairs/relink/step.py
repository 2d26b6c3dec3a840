"""A step of Relink, and what it may look at: the interface that other projects write their own steps against."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from django.db import connections
from django.db.models import F, Field, Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import columns_of
from integrity.paths import resolve
from integrity.statement import Part, Statement, as_statement, compose, from_queryset, joined, name, run, value

if TYPE_CHECKING:
    from integrity.rules.references import References

Paths = str | Mapping[Any, str | None]
"""A lookup path of the referring rows: one for all of them, one for each model, or one for each (model, column) where a
model refers by several; None where there is none."""

_numbers = itertools.count()


class Search:
    """One search for what dangling ids meant: the ids, the rows that may be meant, and the rows that refer.

    rules: those that share the Relink. target, on: the model that they refer to and the column by which. type: the SQL
    type in which ids are compared. ids: a relation ``(old, rows, reused)`` of the ids to find. pairs: a relation
    ``(old, candidate)`` of what the steps have listed so far. proven: a relation ``(old, new, sure)`` of ids known to
    have become others; not sure where a single step says so that is no proof by itself.
    """

    def __init__(self, rules: Sequence[References], using: str) -> None:
        assert rules[0].to is not None
        self.rules, self.using, self.connection = tuple(rules), using, connections[using]
        self.target: type[Model] = rules[0].to
        self.on = rules[0].on[0]
        self.type = Statement(id_type(target_field(self.target, self.on), self.connection))
        self.pairs = self.proven = Statement("")
        self._temporary: list[Statement] = []
        rows = compose("SELECT old, count(*) AS rows FROM ({rows}) AS w GROUP BY old", rows=self.witnesses({}))
        self.ids = self.temporary(
            "SELECT i.old, i.rows, EXISTS (SELECT FROM ({targets}) AS t WHERE t.target = i.old) AS reused"
            " FROM ({rows}) AS i",
            targets=self.targets(),
            rows=rows,
        )

    def temporary(self, template: str, **parts: Part) -> Statement:
        """A temporary table of the rows of a SELECT, analyzed, by its name; it is gone with the search."""
        table = f"integrity_search_{next(_numbers)}"
        relation = as_statement(name("pg_temp", table))
        rows = compose(template, **parts)
        run(self.connection, compose("CREATE TEMP TABLE {t} ON COMMIT DROP AS {rows}", t=name(table), rows=rows))
        run(self.connection, compose("ANALYZE {t}", t=relation))
        self._temporary.append(relation)
        return relation

    def drop(self) -> None:
        """Let go of the temporary tables."""
        if self._temporary:
            run(self.connection, compose("DROP TABLE {tables}", tables=joined(", ", self._temporary)))
            self._temporary.clear()

    def targets(self, **paths: str) -> Statement:
        """A SELECT of every row that may be meant: ``target``, its id, and a column for each lookup path."""
        return self._selected(self.target._base_manager.all(), self.on, "target", paths)

    def witnesses(self, paths: Mapping[str, Paths]) -> Statement:
        """A SELECT of every row that refers to nothing or to a wrong row: ``old``, and a column for each lookup path.

        Rows for which a path is None are left out. The planner takes them for one: what is joined with them, make a
        temporary table of them first.
        """
        parts = []
        for rule in self.rules:
            own = {column: path for column, declared in paths.items() if (path := path_of(declared, rule)) is not None}
            if len(own) == len(paths):
                parts.append(self.witnesses_of(rule, own))
        return joined(" UNION ALL ", parts) if parts else self._nothing(paths)

    def witnesses_of(self, rule: References, paths: Mapping[str, str]) -> Statement:
        """The same for the rows of one rule."""
        return self._selected(rule.rows(), rule.columns[0], "old", paths)

    def _nothing(self, columns: Iterable[str]) -> Statement:
        empty = joined("", (compose(", NULL::text AS {c}", c=name(column)) for column in columns))
        return compose("SELECT NULL::{type} AS old{empty} WHERE false", type=self.type, empty=empty)

    def _selected(self, rows: Any, id_: str, called: str, paths: Mapping[str, str]) -> Statement:
        found = rows.using(self.using).values(
            integrity_id=F(id_), **{f"integrity_{column}": F(path) for column, path in paths.items()}
        )
        return compose(
            "SELECT r.integrity_id::{type} AS {called}{columns} FROM ({rows}) AS r",
            type=self.type,
            called=name(called),
            columns=joined("", (compose(", r.{i} AS {c}", i=name(f"integrity_{c}"), c=name(c)) for c in paths)),
            rows=from_queryset(found, self.using),
        )


class Step(ABC):
    """One way to find out which row a dangling id meant.

    label: the name in reports, unless it is that of the class. alone: how many of its witnesses decide by themselves;
    with fewer, and with False, it may only confirm, contradict or narrow what other steps say.
    """

    extra: ClassVar[tuple[str, ...]] = ()
    """Which of the columns ``preferred``, ``groups`` and ``open`` its ballots have as well."""
    last: ClassVar[bool] = False
    """True for a step that builds on what the others found, ``search.proven``."""

    def __init__(self, *, label: str = "", alone: int = 1) -> None:
        self.label = label or type(self).__name__.lower()
        self.alone = alone

    @abstractmethod
    def ballots(self, search: Search) -> Statement:
        """A SELECT of what it knows: ``old``, ``candidates`` (an array of ids of existing rows), ``witnesses`` (how
        many say so, a bigint) and ``says`` (the evidence in words). Read-only and set-based.

        Several rows for one ``old`` are several opinions; no candidates, that the row meant is there no more.
        preferred: an array of those candidates that come first; groups: an array of text, the group of each candidate,
        within which alone a preference counts; open: true where rows that are not listed may be meant as well.
        """

    def prepare(self, search: Search) -> None:  # noqa: B027 - most steps need none
        """Make the temporary tables that the step needs; once, before anything is asked."""

    def open_ballots(self, search: Search) -> Statement | None:
        """The same columns for what was too much to list, with the candidates of ``search.pairs`` that it allows.

        Asked again whenever other steps have listed candidates; every one of these ballots counts as open.
        """
        return None

    def proves(self, search: Search) -> Statement | None:
        """A SELECT of ``old`` and ``new``: ids known to have become others, whether they are looked for or not."""
        return None

    def problems(self, rule: References) -> Iterable[WrongDeclaration]:
        """What makes the step unfit for a rule; found when Django starts."""
        return ()


def path_of(declared: Paths | None, rule: References) -> str | None:
    """The path that is declared for the rows of a rule. None also where none is, which problems_of() has told."""
    if declared is None or isinstance(declared, str):
        return declared
    return next((declared[key] for key in _keys_of(rule) if key in declared), None)


def _keys_of(rule: References) -> list[Any]:
    column = rule.columns[0]
    field: Any = rule.model._meta.get_field(column)
    return [(rule.model, field.name), (rule.model, column), rule.model]


def problems_of(step: Step, what: str, declared: Paths, rule: References) -> Iterable[WrongDeclaration]:
    """What is wrong with the paths that a step declares for the referring rows."""
    label = rule.model._meta.label
    if not isinstance(declared, str) and not any(key in declared for key in _keys_of(rule)):
        yield WrongDeclaration(
            f"has the step {step.label!r}, whose {what} names no column of {label}",
            f"Add {{{rule.model.__name__}: ...}}, or None where it has none.",
        )
    path = path_of(declared, rule)
    if path is not None:
        yield from one_row(step, what, rule.model, path)


def one_row(step: Step, what: str, model: type[Model], path: str) -> Iterable[WrongDeclaration]:
    """Why a path does not lead from a row of a model to one value."""
    found = resolve(model, path)
    if found.multiplies or any(not hop.forward for hop in found.hops):
        yield WrongDeclaration(
            f"has the step {step.label!r}, whose {what} {path!r} can lead to several rows",
            "Follow foreign keys only.",
        )
    elif len(found.rest) > 1:
        yield WrongDeclaration(f"has the step {step.label!r}, whose {what} {path!r} does not end in a field")


def target_field(model: type[Model], on: str) -> Field[Any, Any]:
    """The field that ids refer to; of a relation the one that it is made of."""
    field: Any = columns_of(model)[0] if on == "pk" else model._meta.get_field(on)
    while getattr(field, "target_field", None) is not None:
        field = field.target_field
    return field  # type: ignore[no-any-return]


def id_type(field: Field[Any, Any], connection: Any) -> str:
    """A type in which a field and what refers to it can be compared, however wide either is."""
    if is_integer(field):
        return "bigint"
    if field.get_internal_type() in ("CharField", "TextField", "SlugField", "EmailField", "URLField"):
        return "text"
    return str(field.db_type(connection))


def is_integer(field: Field[Any, Any]) -> bool:
    """True for a whole number of any width."""
    return field.get_internal_type().endswith(("IntegerField", "AutoField"))


def count_in_words(count: Statement, one: str, many: str) -> Statement:
    """SQL for ``1 row`` or ``12 rows``."""
    return compose(
        "({n}::text || CASE {n} WHEN 1 THEN {one} ELSE {many} END)",
        n=count,
        one=value(f" {one}"),
        many=value(f" {many}"),
    )
