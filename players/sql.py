"""Runs a statement written by hand; the statements stand at the head of the modules whose verbs need them."""

from collections.abc import Mapping, Sequence
from typing import Any

from django.db import connection


def execute(sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> list[Any]:
    """The rows that a statement returns, none where it returns nothing."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall() if cursor.description else []


def affected(sql: str, values: Sequence[Any] | Mapping[str, Any] = ()) -> int:
    """How many rows a statement has written."""
    with connection.cursor() as cursor:
        cursor.execute(sql, values)
        return int(cursor.rowcount)
