"""Keys: typed tuples in the order of the primary key's fields, and their form in records and on the command line."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.db.models.constants import LOOKUP_SEP

from integrity.exceptions import UsageError

if TYPE_CHECKING:
    from integrity.rules.base import Rule

Key = tuple[Any, ...]
Keys = Mapping[str, Sequence[Key]] | Sequence[Key] | None
"""Keys for every rule of a run, keys by the label of a rule, or None for whole tables."""


def columns_of(model: type[Model]) -> list[Field[Any, Any]]:
    """The fields of the primary key; several when it is composite."""
    return list(model._meta.pk_fields)


def pk_columns(model: type[Model]) -> list[str]:
    """The database columns of the primary key."""
    return [str(field.column) for field in columns_of(model)]


def column_of(model: type[Model], field: str) -> str:
    """The database column of a field by name."""
    return str(model._meta.get_field(field).column)  # type: ignore[union-attr]


def own_field(model: type[Model], lookup: str) -> Field[Any, Any]:
    """The field of the row itself that a lookup begins with."""
    first = lookup.partition(LOOKUP_SEP)[0]
    return model._meta.pk if first == "pk" else model._meta.get_field(first)  # type: ignore[return-value]


def parse(fields: Sequence[Field[Any, Any]], label: str, text: str) -> Key:
    """A key as typed by a person: ``17``, or ``order=17,line=2`` for a composite key.

    Raises UsageError naming the field and the value.
    """
    if len(fields) == 1:
        return (_typed(fields[0], label, text.removeprefix(f"{fields[0].name}=")),)
    given = dict(part.partition("=")[::2] for part in text.split(","))
    wanted = [field.name for field in fields]
    if sorted(given) != sorted(wanted):
        example = ",".join(f"{name}=..." for name in wanted)
        raise UsageError(f"A key of {label} has the fields {', '.join(wanted)}: write {example}, not {text!r}.")
    return from_parts(fields, label, given)


def from_parts(fields: Sequence[Field[Any, Any]], label: str, given: Mapping[str, Any]) -> Key:
    """A key by the names of its fields, each part a number, its text, or None for NULL. Raises UsageError."""
    wanted = [field.name for field in fields]
    if sorted(given) != sorted(wanted):
        raise UsageError(f"A key of {label} has the fields {', '.join(wanted)}, not {', '.join(given)}.")
    return tuple(None if given[f.name] is None else _typed(f, label, str(given[f.name])) for f in fields)


def _typed(field: Field[Any, Any], label: str, text: str) -> Any:
    target = getattr(field, "target_field", field)
    try:
        value = target.to_python(text)
        target.run_validators(value)
    except ValidationError as error:
        raise UsageError(f"{text!r} is not a key of {label}: {field.name} says {' '.join(error.messages)}") from None
    return value


def as_json(value: Any) -> Any:
    """A value of a row as it stands in records and JSON: decimals and times as text, numbers as numbers."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case decimal.Decimal():
            return format(value, "f") if value.is_finite() else str(value)
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case uuid.UUID():
            return str(value)
        case bytes() | memoryview():
            return "\\x" + bytes(value).hex()
        case list() | tuple():
            return [as_json(item) for item in value]
        case dict():
            return {str(key): as_json(item) for key, item in value.items()}
        case _:
            return str(value)


def key_as_json(fields: Sequence[Field[Any, Any]], key: Key) -> dict[str, Any]:
    """A key by field name."""
    return {field.name: as_json(part) for field, part in zip(fields, key, strict=True)}


def key_from_json(fields: Sequence[Field[Any, Any]], stored: dict[str, Any]) -> Key:
    """The typed key of a stored one."""
    return tuple(getattr(field, "target_field", field).to_python(stored[field.name]) for field in fields)


def by_label(rules: Iterable[Rule], keys: Keys) -> Mapping[str, Sequence[Key]]:
    """The keys of each rule that has any."""
    if keys is None or isinstance(keys, Mapping):
        return keys or {}
    return {rule.label: keys for rule in rules}


def stored(rules: Iterable[Rule], keys: Mapping[str, Sequence[Key]]) -> dict[str, list[dict[str, Any]]] | None:
    """The keys as the record of a run has them."""
    named = {rule.label: [rule.key_as_json(key) for key in keys[rule.label]] for rule in rules if rule.label in keys}
    return named or None
