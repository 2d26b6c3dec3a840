"""The parts of a row: a value that is taken over, and a reference that is looked up by the natural key it names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.core.exceptions import FieldDoesNotExist
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model

from integrity.exceptions import WrongDeclaration
from integrity.paths import resolve
from integrity.statement import Statement

_TEXT = ("varchar", "text", "char", "citext")


class Column:
    """A field of the model that takes the value of a field of the feed."""

    def __init__(self, model: type[Model], name: str, source: str) -> None:
        self.model, self.name, self.source = model, name, source
        self.field = _field(model, name)
        self.column = str(self.field.column)
        self.sources = (source,)

    @property
    def value(self) -> Value:
        """What its text must be."""
        return Value(self.field)

    def problems(self) -> Iterable[WrongDeclaration]:
        if self.field.remote_field is not None:
            yield WrongDeclaration(f"{self.name!r} is a foreign key", "Name it in references=, by a natural key.")


class Reference:
    """A foreign key of which the feed names the row by other columns than its primary key."""

    def __init__(self, model: type[Model], name: str, by: Mapping[str, str]) -> None:
        self.model, self.name, self.by = model, name, dict(by)
        self.field = _field(model, name)
        self.column = str(self.field.column)
        self.sources = tuple(self.by.values())

    @property
    def to(self) -> type[Model]:
        """The model referred to."""
        found: type[Model] = self.field.related_model  # type: ignore[assignment]
        return found

    @property
    def target(self) -> str:
        """The name of the field of the row referred to that is stored."""
        return str(self.field.target_field.name)  # type: ignore[attr-defined]

    def values(self) -> dict[str, Value]:
        """What the text of each field of the feed must be."""
        return {source: Value(resolve(self.to, lookup).field) for lookup, source in self.by.items()}

    def problems(self) -> Iterable[WrongDeclaration]:
        if self.field.remote_field is None:
            yield WrongDeclaration(f"{self.name!r} is no foreign key", "Name it in columns=.")
            return
        for lookup in self.by:
            if resolve(self.to, lookup).multiplies:
                yield WrongDeclaration(f"{self.name!r} by {lookup!r} leads to many rows")


class Value:
    """How the text of a feed becomes a value of a field."""

    def __init__(self, field: Field[Any, Any]) -> None:
        self.field: Any = getattr(field, "target_field", field)
        self.type = str(self.field.rel_db_type(connections[DEFAULT_DB_ALIAS]))

    @property
    def is_text(self) -> bool:
        """True where any text is a value, as long as it is short enough."""
        return self.type.startswith(_TEXT)

    @property
    def cast(self) -> Statement:
        """What makes a value of the text. Not varchar(50): it would cut silently what validation lets through."""
        return Statement("::text" if self.is_text else f"::{self.type}")

    @property
    def nullable(self) -> bool:
        """True where there need be no value; an empty text stands for it where the column has no NULL."""
        return bool(self.field.null or (self.is_text and self.field.blank))


def _field(model: type[Model], name: str) -> Field[Any, Any]:
    try:
        found = model._meta.get_field(name)
    except FieldDoesNotExist:
        known = ", ".join(field.name for field in model._meta.local_concrete_fields)
        raise WrongDeclaration(f"{model._meta.label} has no field {name!r}", f"It has {known}.") from None
    if not getattr(found, "concrete", False) or found.many_to_many:
        raise WrongDeclaration(f"{name!r} of {model._meta.label} is no column")
    return found  # type: ignore[return-value]
