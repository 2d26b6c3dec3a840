"""A table of sales that a loop has multiplied, for the tests of Rebuild."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from integrity import Rebuild, Unique
from integrity.rebuilding.portrait import portrait
from integrity.repair import repair
from integrity.reports import Report
from integrity.rules.base import Rule
from tests.integrity.helpers import declared, registered
from tests.toy import models as toy

TABLE, BACKUP, ONCE = "toy_sale", "toy_sale_corrupted", "toy_sales_differ_once"


def sales_differ(**options: Any) -> Rule:
    """The rule that no two sales are of the same region and amount."""
    options = {
        "by": ["region", "amount"],
        "keep": "id",
        "name": "sales_differ",
        "repairs": {"rebuild": Rebuild(backup=BACKUP)},
        **options,
    }
    rule = declared(Unique, toy.Sale, **options)
    assert rule.check() == []
    return rule


def rebuilt(rule: Rule, *others: Rule, **options: Any) -> Report:
    """The report of its repair, with the brake opened."""
    options = {"max_affected": "100%", **options}
    with registered(rule, *others):
        return repair([(rule, "rebuild")], **options)


def make_sales(times: int = 100, amounts: tuple[int, ...] = (1, 2, 3), region: str = "north") -> list[int]:
    """Each of some sales ``times`` times, one after the other; the primary keys."""
    toy.Region.objects.get_or_create(code=region)
    made = [toy.Sale(region_id=region, amount=amount) for _ in range(times) for amount in amounts]
    return [sale.pk for sale in toy.Sale.objects.bulk_create(made)]


def rows_of(table: str = TABLE) -> list[str]:
    """Every byte of a table."""
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT t::text FROM "{table}" AS t ORDER BY 1')
        return [row for (row,) in cursor.fetchall()]


def kept() -> list[tuple[int, int]]:
    """The sales that there are: primary key and amount."""
    return list(toy.Sale.objects.order_by("pk").values_list("pk", "amount"))


def look_of(table: str = TABLE) -> dict[str, str]:
    """What the catalog says of a table."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::regclass::oid", [table])
        return portrait(cursor.fetchone()[0], connection)


def names_in_schema() -> list[str]:
    """Every table, index, sequence, trigger, function and constraint."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT stxname FROM pg_statistic_ext"
            " UNION ALL SELECT conname FROM pg_constraint WHERE contype <> 't' ORDER BY 1"
        )
        return [found for (found,) in cursor.fetchall()]


@contextmanager
def given_back() -> Iterator[None]:
    """The table is as the migrations made it when the test is over."""
    try:
        yield
    finally:
        _remake()


def _remake() -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tablename FROM pg_tables WHERE tablename LIKE 'toy_sale_corrupted%'"
            r" OR tablename LIKE 'integrity\_%\_clean' OR tablename LIKE 'integrity\_%\_notes'"
            " OR tablename = 'toy_sale'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE "{table}" CASCADE')
        cursor.execute(r"SELECT proname FROM pg_proc WHERE proname LIKE 'integrity\_%\_note'")
        for (function,) in cursor.fetchall():
            cursor.execute(f'DROP FUNCTION "{function}" CASCADE')
    with connection.schema_editor() as editor:
        editor.create_model(toy.Sale)
