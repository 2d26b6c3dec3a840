"""Rebuild: a table of which most rows repeat others becomes a clean one, with everything that the old one had."""

import pytest
from django.db import IntegrityError, connection
from django.db.models import F, Q, Sum
from django.db.models.functions import Lower

from integrity import Derived, KeepOne, Rebuild, Unique
from integrity.engine import accept, analyze
from integrity.exceptions import UsageError
from integrity.models import Result, Run, Violation
from integrity.rebuilding.names import Pieces
from integrity.rebuilding.portrait import differences, portrait
from integrity.registry import registry
from integrity.repair import repair
from tests.integrity.helpers import contents, declared, execute, finds, registered
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

BACKUP = "toy_sale_corrupted"
ONCE = "toy_sales_differ_once"


def sales_differ(**options):
    options.setdefault("keep", "id")
    options.setdefault("by", ["region", "amount"])
    options.setdefault("repairs", {"rebuild": Rebuild(backup=BACKUP)})
    rule = declared(Unique, toy.Sale, name=options.pop("name", "sales_differ"), **options)
    assert rule.check() == []
    return rule


def rebuilt(rule, **options):
    options.setdefault("max_affected", "100%")
    with registered(rule):
        return repair([(rule, "rebuild")], **options)


def make_sales(times=100, amounts=(1, 2, 3)):
    """Each of some sales ``times`` times."""
    region, _ = toy.Region.objects.get_or_create(code="north")
    toy.Sale.objects.bulk_create(toy.Sale(region=region, amount=amount) for _ in range(times) for amount in amounts)


@pytest.fixture(autouse=True)
def clean_up():
    """Backups and whatever a failed test leaves are gone with it, and the table has its own name and shape again."""
    yield
    with connection.cursor() as cursor:
        cursor.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'toy_sale_corr%' OR tablename LIKE 'integrity\\_%\\_%\\_%clean'")
        for (table,) in cursor.fetchall():
            cursor.execute(f'DROP TABLE "{table}" CASCADE')
        cursor.execute(f"DROP INDEX IF EXISTS {ONCE}")


def catalog():
    """Every object of the schema, and the portrait of the table."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
            " UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal"
            " UNION ALL SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
            " UNION ALL SELECT conname FROM pg_constraint ORDER BY 1"
        )
        return [name for (name,) in cursor.fetchall()], portrait_of("toy_sale")


def portrait_of(table):
    with connection.cursor() as cursor:
        cursor.execute("SELECT %s::regclass::oid", [table])
        return portrait(cursor.fetchone()[0], connection)


def test_one_row_of_each_key_stays_and_the_old_table_is_kept():
    make_sales(times=100)
    before = contents(toy.Sale)["toy_sale"]
    report = rebuilt(sales_differ())
    assert (report.status, report.changes, report.exit_code) == ("clean", 297, 0), report.rules[0].error
    assert [(sale.pk, sale.amount) for sale in toy.Sale.objects.order_by("pk")] == [(k, k - first + 1) for first in [toy.Sale.objects.earliest("pk").pk] for k in range(first, first + 3)]
    execute("ALTER TABLE toy_sale_corrupted RENAME TO toy_sale_corrupted")if False else None
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT t::text FROM {BACKUP} AS t ORDER BY 1")
        assert [row for (row,) in cursor.fetchall()] == before
