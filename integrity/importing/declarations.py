"""What an import is: feeds in order of dependence, each with its model, its natural key and its bounds."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from typing import Any

from django.core.checks import CheckMessage, Error
from django.db.models import Model, UniqueConstraint

from integrity.exceptions import UsageError, WrongDeclaration
from integrity.importing.columns import Column, Reference
from integrity.importing.kept import Kept
from integrity.limits import Limit
from integrity.paths import resolve

KEEP = "keep"
"""What becomes of a row that is no longer in the feed: nothing."""


class Feed:
    """Rows of one file and the model that they become.

    model: the target. key: its natural key, fields that together are unique and never NULL. columns: field of the model
    -> field of the feed, or a list of names that are the same on both sides. references: foreign key -> lookup of the
    row referred to -> field of the feed, as in ``{"league": {"league_id": "league"}}``. external_id: a field with the
    provider's own number, by which a renamed row is recognised. vanished: what is written to a row that has gone from
    the feed, or KEEP; ``returned``, by default its opposite, when it is back. may_vanish: how many rows may go at once,
    "10%" or 5. optional: fields that a row of the feed may leave out. leaves: fields of the model that stay as they are
    where the feed says nothing, NULL. part: (field of the feed, lookup of the target) that ``only`` of an import
    narrows both sides by. kept: where the keys that its rows ever had are kept. file: its name without suffix, where it
    is not the feed's. required: False where the import may do without its file; nothing happens to the table then.
    allow_triggers: triggers of others on the table that may fire; what they write is not journaled.
    """

    def __init__(
        self,
        model: type[Model],
        *,
        key: Sequence[str],
        columns: Mapping[str, str] | Sequence[str] = (),
        references: Mapping[str, Mapping[str, str]] | None = None,
        external_id: str = "",
        vanished: Mapping[str, Any] | str = KEEP,
        returned: Mapping[str, Any] | None = None,
        may_vanish: str | int | None = None,
        optional: Sequence[str] = (),
        leaves: Sequence[str] = (),
        part: tuple[str, str] | None = None,
        kept: Kept | None = None,
        name: str = "",
        file: str = "",
        required: bool = True,
        allow_triggers: Sequence[str] = (),
    ) -> None:
        self.model = model
        self.key = tuple(key)
        self.columns: list[Column] = []
        self.references: list[Reference] = []
        self.wrong: list[WrongDeclaration] = []
        self._take(columns, references or {}, may_vanish)
        self.external_id = external_id
        self.vanished: dict[str, Any] = {} if isinstance(vanished, str) else dict(vanished)
        self.returned = self._opposite() if returned is None else dict(returned)
        self.optional = frozenset(optional)
        self.leaves = tuple(leaves)
        self.part = part
        self.kept = kept
        self.name = name or str(model._meta.model_name)
        self.file = file or self.name
        self.required = required
        self.allow_triggers = tuple(allow_triggers)
        self.label = self.name

    def _take(
        self,
        columns: Mapping[str, str] | Sequence[str],
        references: Mapping[str, Mapping[str, str]],
        may_vanish: str | int | None,
    ) -> None:
        """What names something unknown is told by the system checks, with everything else that is wrong."""
        given = dict(columns) if isinstance(columns, Mapping) else {column: column for column in columns}
        self.limit = Limit.declared(None)
        try:
            self.columns = [Column(self.model, field, source) for field, source in given.items()]
            self.references = [Reference(self.model, field, by) for field, by in references.items()]
            self.limit = Limit.declared(may_vanish)
        except WrongDeclaration as problem:
            self.wrong.append(problem)

    @property
    def table(self) -> str:
        """The table that it writes."""
        return self.model._meta.db_table

    @cached_property
    def fields(self) -> list[str]:
        """Every field of the feed that is read, once, in the order of the declaration."""
        read = [column.source for column in self.columns]
        read += [source for reference in self.references for source in reference.by.values()]
        return list(dict.fromkeys([*read, *([self.part[0]] if self.part else [])]))

    @cached_property
    def by_field(self) -> dict[str, Column | Reference]:
        """Columns and references by field of the model."""
        parts: list[Column | Reference] = [*self.columns, *self.references]
        return {part.name: part for part in parts}

    @property
    def key_parts(self) -> list[Column | Reference]:
        """The columns and references that the natural key is made of."""
        return [self.by_field[name] for name in self.key]

    def telling(self, reference: Reference) -> list[str]:
        """The fields of the feed that are there for this reference alone: without them it refers to nothing."""
        shared = [source for part in self.by_field.values() if part is not reference for source in part.sources]
        own = [source for source in reference.sources if source not in shared]
        return own or list(reference.sources)

    def _opposite(self) -> dict[str, Any]:
        return {field: not value for field, value in self.vanished.items() if isinstance(value, bool)}

    # What is wrong with it

    def problems(self) -> Iterable[WrongDeclaration]:
        """Found when Django starts."""
        if self.wrong:
            yield from self.wrong
            return
        for part in self.by_field.values():
            yield from part.problems()
        yield from self._key_problems()
        yield from self._vanished_problems()
        yield from self.kept.problems(self.model) if self.kept else ()
        if self.part and resolve(self.model, self.part[1]).multiplies:
            yield WrongDeclaration(f"part= leads by {self.part[1]!r} to many rows")

    def _key_problems(self) -> Iterable[WrongDeclaration]:
        if not self.key:
            yield WrongDeclaration("key= names no field", "Say by what a row is known.")
            return
        for name in (*self.key, *self.leaves, *filter(None, [self.external_id])):
            if name not in self.by_field:
                yield WrongDeclaration(
                    f"{name!r} is neither one of columns= nor one of references=", "Say which field of the feed it is."
                )
        if self.unique is None:
            yield WrongDeclaration(
                f"no unique constraint of {self.model._meta.label} is on {', '.join(self.key)}",
                "Add a UniqueConstraint on the natural key: two imports at a time must not insert it twice.",
            )

    def _vanished_problems(self) -> Iterable[WrongDeclaration]:
        for name in (*self.vanished, *self.returned):
            if self._field(name) is None:
                yield WrongDeclaration(f"{self.model._meta.label} has no field {name!r} that vanished= could set")
        if set(self.vanished) - set(self.returned) - set(self.by_field):
            yield WrongDeclaration("vanished= sets a value of which returned= does not say the opposite", "Add it.")

    @property
    def unique(self) -> UniqueConstraint | str | tuple[str, ...] | None:
        """The declared uniqueness of the natural key: a constraint, a unique field, or fields unique together."""
        opts = self.model._meta
        for constraint in opts.constraints:
            fields = getattr(constraint, "fields", ())
            if isinstance(constraint, UniqueConstraint) and set(fields) == set(self.key) and not constraint.condition:
                return constraint
        if len(self.key) == 1 and getattr(self._field(self.key[0]), "unique", False):
            return self.key[0]
        return next((tuple(t) for t in opts.unique_together if set(t) == set(self.key)), None)

    def _field(self, name: str) -> Any:
        return next((f for f in self.model._meta.local_concrete_fields if f.name == name), None)

    def __repr__(self) -> str:
        return f"<Feed {self.label}>"


class Import:
    """Feeds that are imported together: all of them, or nothing.

    feeds: those first that others refer to. error_budget: how many rows may be rejected. batch_size: rows within one
    savepoint. must_hold: labels of rules that must be clean before and after; any other rule that reads a written table
    must not be broken more than before.
    """

    def __init__(
        self,
        name: str,
        feeds: Sequence[Feed],
        *,
        because: str = "",
        error_budget: int = 100,
        batch_size: int = 5_000,
        must_hold: Sequence[str] = (),
    ) -> None:
        self.name, self.feeds, self.because = name, list(feeds), because
        self.error_budget, self.batch_size = error_budget, batch_size
        self.must_hold = tuple(must_hold)
        self.app = ""
        self.named("")

    def named(self, app: str) -> Import:
        """Belong to an app; each feed's label begins with the import's."""
        self.app = app
        for feed in self.feeds:
            feed.label = f"{self.label}.{feed.name}"
        return self

    @property
    def label(self) -> str:
        """``app.name``, as in commands and records."""
        return f"{self.app}.{self.name}" if self.app else self.name

    @property
    def has_parts(self) -> bool:
        """Whether a part of it can be imported alone."""
        return any(feed.part for feed in self.feeds)

    def given(self, names: Collection[str]) -> Import:
        """The import of these of its feeds alone."""
        found = copy(self)
        found.feeds = [feed for feed in self.feeds if feed.name in names]
        return found

    def feed(self, name: str) -> Feed:
        """A feed by name. Raises UsageError listing the known ones."""
        found = next((feed for feed in self.feeds if feed.name == name), None)
        if found is None:
            known = ", ".join(feed.name for feed in self.feeds)
            raise UsageError(f"{self.label} has no feed {name!r}. Known: {known}.")
        return found

    def check(self) -> list[CheckMessage]:
        """System checks of the declaration, each with an id and a hint."""
        found = [(feed, problem) for feed in self.feeds for problem in _all(feed)]
        names = [feed.name for feed in self.feeds]
        twice = WrongDeclaration("another feed has its name", "Give name=.")
        found += [(feed, twice) for feed in self.feeds if names.count(feed.name) > 1]
        return [
            Error(f"{feed.label}: {problem.message}.", hint=problem.hint, obj=feed.model, id="integrity.E004")
            for feed, problem in found
        ]

    def __repr__(self) -> str:
        return f"<Import {self.label}>"


def _all(feed: Feed) -> list[WrongDeclaration]:
    try:
        return list(feed.problems())
    except WrongDeclaration as only:
        return [only]
