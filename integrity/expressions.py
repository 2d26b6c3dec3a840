"""What a rule may say beyond Django's own expressions: the value of the latest row, and a query of (key, value)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import (
    AutoField,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Expression,
    F,
    Field,
    Func,
    IntegerField,
    Model,
    Q,
    QuerySet,
    SmallAutoField,
    SmallIntegerField,
)
from django.db.models.sql.compiler import SQLCompiler

from integrity.statement import Statement

_WHOLE = {AutoField, BigAutoField, SmallAutoField, IntegerField, BigIntegerField, SmallIntegerField}
"""Fields of which a whole number is its own form in the database; one made of them may have another."""


def name_of(node: F) -> str:
    """The lookup that an F stands for."""
    return str(node.name)  # type: ignore[attr-defined]


class Latest(Expression):
    """The value of the related row that comes last: ``Latest("events__miles", by=["events__occurred_at"])``.

    ``by`` lists lookups, most significant first; rows with NULL come first and the primary key decides what is left
    equal. ``filter`` says which rows count. No row gives ``default``.
    """

    def __init__(self, value: str, *, by: Sequence[str], filter: Q | None = None, default: Any = None) -> None:
        super().__init__()
        self.value = F(value)
        self.by = [F(lookup) for lookup in by]
        self.filter = filter
        self.default = default

    def get_source_expressions(self) -> list[Any]:
        return [self.value, *self.by, self.filter]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        self.value, *self.by, self.filter = exprs

    @property
    def window(self) -> tuple[Any, ...]:
        """What two of these must share to be answered by one look at one row."""
        return (*(name_of(by) for by in self.by), self.filter)

    def __repr__(self) -> str:
        return f"Latest({name_of(self.value)!r}, by={[name_of(by) for by in self.by]!r})"


class PerKey(Expression):
    """Values from a queryset of (key, value), for what no aggregate over a relation can say, such as a tree.

    ``queryset``: a function (or a queryset) whose rows have the fields ``key``, the primary key of the rule's model,
    and ``value``. ``reads``: every model that the query reads; a write to one of them concerns every key of the rule.
    A key without a row has ``default``.
    """

    def __init__(
        self,
        queryset: Callable[[], QuerySet[Any, Any]] | QuerySet[Any, Any],
        *,
        reads: Sequence[type[Model]],
        default: Any = None,
    ) -> None:
        super().__init__()
        self.source = queryset
        self.reads = tuple(reads)
        self.default = default

    @property
    def identity(self) -> tuple[Any, ...]:
        """Two are the same when they share their source; a queryset is never run to compare it."""
        return (PerKey, id(self.source))

    def rows(self) -> QuerySet[Any, Any]:
        """The queryset of (key, value), made anew."""
        return self.source() if callable(self.source) else self.source.all()

    def __repr__(self) -> str:
        return f"PerKey({getattr(self.source, '__name__', 'queryset')})"


class AnyOf(Func):
    """``column = ANY(array)``: one parameter however many keys, and a plan that stays an index scan."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, lookup: str, keys: Sequence[Any]) -> None:
        super().__init__(F(lookup))
        self.keys = list(keys)

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> Any:  # type: ignore[override]
        (column,) = self.get_source_expressions()
        text, params = compiler.compile(column)
        field = column.output_field
        return f"{text} = ANY(%s::{array_type(field, connection)})", (*params, prepared(field, self.keys, connection))


class AnyOfVariable(Func):
    """The same for keys in an array variable of a trigger function, which are not known before it runs."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, lookup: str, variable: str) -> None:
        super().__init__(F(lookup))
        self.variable = variable

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> Any:  # type: ignore[override]
        text, params = compiler.compile(self.get_source_expressions()[0])
        return f"{text} = ANY({connection.ops.quote_name(self.variable)})", params


class AnyListed(Func):
    """The same for primary keys that a SELECT lists; as an array, which stays an index scan however long it is."""

    output_field = BooleanField()
    conditional = True

    def __init__(self, listed: Statement) -> None:
        super().__init__(F("pk"))
        self.listed = listed

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> Any:  # type: ignore[override]
        text, params = compiler.compile(self.get_source_expressions()[0])
        return f"{text} = ANY(ARRAY({self.listed.text}))", (*params, *self.listed.params)


def has_numbers(model: type[Model]) -> bool:
    """True where the rows of a model have whole numbers as their primary keys, of which there is a least one."""
    pk = model._meta.pk
    return isinstance(getattr(pk, "target_field", pk), IntegerField)


def array_type(field: Field[Any, Any], connection: Any) -> str:
    """The array type for keys of a field: without a length or scale, which a cast would cut the keys to."""
    target = getattr(field, "target_field", field)
    plain = str(target.rel_db_type(connection) or target.db_type(connection))
    return plain.split("(", maxsplit=1)[0] + "[]"


def prepared(field: Field[Any, Any], keys: Sequence[Any], connection: Any) -> list[Any] | str:
    """Keys as the driver wants them for a column of this field: a list, or an array as PostgreSQL writes it."""
    target = getattr(field, "target_field", field)
    # A batch of thousands of keys is a parameter of a dozen statements: what the field and the driver do with each of
    # them took longer than the statements.
    if type(target) in _WHOLE and all(type(key) is int for key in keys):
        return f"{{{','.join(map(str, keys))}}}"
    return [target.get_db_prep_value(key, connection, prepared=False) for key in keys]


class Joined(Expression):
    """A column of a joined subquery, standing where the aggregate stood."""

    def __init__(self, alias: str, column: str, output_field: Field[Any, Any]) -> None:
        super().__init__(output_field=output_field)
        self.alias = alias
        self.column = column

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> Any:
        quote = connection.ops.quote_name
        return f"{quote(self.alias)}.{quote(self.column)}", []


class Typed(Expression):
    """An expression as a value of a column's type, so that a bare NULL or text in a plan has one."""

    def __init__(self, expression: Any, field: Field[Any, Any]) -> None:
        super().__init__(output_field=getattr(field, "target_field", field))
        self.expression = expression
        self.column = field

    def get_source_expressions(self) -> list[Any]:
        return [self.expression]

    def set_source_expressions(self, exprs: Sequence[Any]) -> None:
        (self.expression,) = exprs

    def as_sql(self, compiler: SQLCompiler, connection: Any, **_: Any) -> Any:
        text, params = compiler.compile(self.expression)
        return f"({text})::{self.column.db_type(connection)}", params
