"""Changing core stats, with a reason; the database writes the history."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from django.db import connection, transaction

from stats.columns import CHANGEABLE, limits_of
from stats.exceptions import Invalid
from stats.legacy.models import LegacyCoreStat
from stats.models import CoreStat
from stats.reading import stats_of
from stats.triggers import ACTOR, REASON

LONGEST_REASON = 500


def change(user: Any, values: Mapping[str, int], *, by: str, reason: str) -> CoreStat:
    """Set some stats of a user, or the experience. Raises Invalid; then nothing is changed.

    A value out of range is refused, never capped: the history would tell of a change that was not made.
    """
    reason = reason.strip()
    if not reason:
        raise Invalid("Say why: the history keeps the reason.", "reason")
    if len(reason) > LONGEST_REASON:
        raise Invalid(f"A reason has at most {LONGEST_REASON} characters.", "reason")
    if not values:
        raise Invalid(f"Say what to change: {', '.join(CHANGEABLE)}.")
    for name, value in values.items():
        _refuse_out_of_range(name, value)
    with transaction.atomic(), signed(by, reason):
        found = _row_of(user)
        for name, value in values.items():
            setattr(found, name, value)
        found.save(update_fields=[*values, "updated_at"])
    found.refresh_from_db()
    return found


@contextmanager
def signed(by: str, reason: str) -> Iterator[None]:
    """Sign what is written inside, which must be within a transaction: a rollback takes the signature back as well."""
    _sign(by, reason)
    yield
    _sign("", "")


def _sign(by: str, reason: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true), set_config(%s, %s, true)", [ACTOR, by, REASON, reason])


def _row_of(user: Any) -> CoreStat:
    """The row, held; brought over from the old table where only that one has it."""
    read = stats_of(user)
    if read.pk is None:
        _bring_over(read)
    return CoreStat.objects.select_for_update().get(user=user)


def _bring_over(read: CoreStat) -> None:
    columns = [field for field in CoreStat._meta.local_concrete_fields if not field.primary_key]
    names = ", ".join(str(field.column) for field in columns)
    with connection.cursor() as cursor:
        # The row as it is, times included, which save() would set anew.
        cursor.execute(
            f"INSERT INTO {CoreStat._meta.db_table} ({names}) SELECT {names} FROM {LegacyCoreStat._meta.db_table}"  # noqa: S608
            " WHERE user_id = %s ON CONFLICT DO NOTHING",
            [read.user_id],
        )


def _refuse_out_of_range(name: str, value: Any) -> None:
    if name not in CHANGEABLE:
        raise Invalid(f"There is no stat {name!r}. There are: {', '.join(CHANGEABLE)}.", name)
    least, most = limits_of(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"{name} is {value!r}; give a whole number from {least} to {most:,}.", name)
