"""What every test shares."""

from unittest import mock

import pytest
from django.db.backends.postgresql.operations import DatabaseOperations
from hypothesis import settings

WRITTEN = """
    SELECT name FROM unnest(%s::text[]) AS name WHERE pg_relation_size(to_regclass(quote_ident(name))) > 0
"""

# A busy machine is no bug, and the example that fails is printed to be run again.
settings.register_profile("holdtrue", deadline=None, print_blob=True)
settings.load_profile("holdtrue")


@pytest.fixture(scope="session", autouse=True)
def only_written_tables_are_emptied():
    """After a test that commits Django empties every table; a hundred that nobody wrote took a third of a second."""
    whole = DatabaseOperations.sql_flush

    def sql_flush(self, style, tables, *, reset_sequences=False, allow_cascade=False):
        with self.connection.cursor() as cursor:
            cursor.execute(WRITTEN, [list(tables)])
            written = [name for (name,) in cursor.fetchall()]
        return whole(self, style, written, reset_sequences=reset_sequences, allow_cascade=True)

    with mock.patch.object(DatabaseOperations, "sql_flush", sql_flush):
        yield
