"""The migrations of core stats beside those of the engine, which go on: neither order breaks a database."""

from contextlib import contextmanager

import pytest
from django.db import connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from integrity.exceptions import Refused
from integrity.models import Run
from tests.stats.worlds import CURRENT, LEGACY, at, bytes_of, has_triggers, make_users, migrate, put, rows

pytestmark = pytest.mark.django_db(transaction=True)

EARLIER = "0006_consolidate"
"""What the copy depends on: the engine's migration that it was written beside."""


@contextmanager
def engine_of_earlier():
    """By the records alone; that the steps need no newer tables shows each new database, on which they come first."""
    loader = MigrationLoader(connection)
    newer = sorted(node for node in loader.graph.nodes if node[0] == "integrity" and node[1] > EARLIER)
    for node in newer:
        MigrationRecorder(connection).record_unapplied(*node)
    try:
        yield
    finally:
        for node in newer:
            MigrationRecorder(connection).record_applied(*node)


def test_with_an_engine_of_earlier_only_rows_need_the_newest_tables():
    with at("start"):
        with engine_of_earlier():
            migrate("end")
            migrate("start")
            make_users(2)
            put(LEGACY, 1, strength=20)
            before = bytes_of(LEGACY)
            with pytest.raises(Refused, match=r"Run manage.py migrate integrity first, then manage.py migrate\."):
                migrate("end")
            assert (bytes_of(LEGACY), bytes_of(CURRENT), has_triggers()) == (before, [], False)
        migrate("end")
        assert list(rows(CURRENT)) == [1]


def test_what_was_copied_is_not_taken_back_by_an_engine_of_earlier():
    with at("before copy"):
        make_users(1)
        put(LEGACY, 1)
        migrate("copied")
        with engine_of_earlier(), pytest.raises(Refused, match=r"then manage\.py migrate stats 0002, before"):
            migrate("before copy")
        assert rows(CURRENT) == rows(LEGACY)
        migrate("before copy")
        assert bytes_of(CURRENT) == []


def test_rows_of_the_new_table_alone_come_to_the_old_one():
    with at("before copy"):
        make_users(1)
        put(CURRENT, 1, wisdom=70)
        migrate("copied")
        assert rows(LEGACY) == rows(CURRENT)
        migrate("end")
        assert Run.objects.exists()
