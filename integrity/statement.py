"""SQL with its parameters, so that pieces made by the ORM can be put together without interpolating a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from string import Formatter
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import QuerySet
from psycopg import sql


@dataclass(frozen=True)
class Statement:
    """SQL text with a ``%s`` for each of its parameters, in order."""

    text: str
    params: tuple[Any, ...] = ()

    def inline(self, connection: BaseDatabaseWrapper) -> str:
        """The text with its parameters as literals: for people to read and run, never for the engine to execute."""
        return str(connection.ops.compose_sql(self.text, self.params))  # type: ignore[attr-defined]

    def literal(self) -> str:
        """The same without a connection, for the body of a trigger function."""
        parts = self.text.split("%s")
        literals = [sql.Literal(param).as_string(None) for param in self.params]
        woven = [piece for pair in zip(parts, [*literals, ""], strict=True) for piece in pair]
        return "".join(woven).replace("%%", "%")


Part = Statement | sql.Composable


def compose(template: str, **parts: Part) -> Statement:
    """Fill the ``{names}`` of a template with identifiers and statements, collecting parameters in text order."""
    text: list[str] = []
    params: list[Any] = []
    for literal, name, _, _ in Formatter().parse(template):
        text.append(literal)
        if name is not None:
            piece = as_statement(parts[name])
            text.append(piece.text)
            params.extend(piece.params)
    return Statement("".join(text), tuple(params))


def joined(separator: str, parts: Iterable[Part]) -> Statement:
    """The parts one after the other, with the separator between them."""
    statements = [as_statement(part) for part in parts]
    return Statement(
        separator.join(statement.text for statement in statements),
        tuple(param for statement in statements for param in statement.params),
    )


def as_statement(part: Part) -> Statement:
    """An identifier or a literal as a statement without parameters."""
    return part if isinstance(part, Statement) else Statement(part.as_string(None).replace("%", "%%"))


def name(*path: str) -> sql.Identifier:
    """A quoted identifier; several words are the steps of a qualified name."""
    return sql.Identifier(*path)


def names(columns: Iterable[str], of: str | None = None) -> Statement:
    """A comma-separated list of quoted columns, each qualified with the alias ``of`` where given."""
    return joined(", ", (name(of, column) if of else name(column) for column in columns))


def value(param: Any) -> Statement:
    """One parameter."""
    return Statement("%s", (param,))


def from_queryset(queryset: QuerySet[Any, Any], using: str) -> Statement:
    """The SELECT that the ORM makes of a queryset."""
    text, params = queryset.query.get_compiler(using).as_sql()
    return Statement(text, tuple(params))


def fetch(connection: BaseDatabaseWrapper, statement: Statement) -> list[dict[str, Any]]:
    """Run a query; each row as a dict by column name."""
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        columns = [column[0] for column in cursor.description]
        return [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]


def run(connection: BaseDatabaseWrapper, statement: Statement) -> int:
    """Run a statement; the number of rows that it wrote."""
    with connection.cursor() as cursor:
        cursor.execute(statement.text, statement.params)
        return int(cursor.rowcount)
