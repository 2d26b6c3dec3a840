"""A rebuild beside people who read and write: nobody meets an error or an empty table, and nothing they do is lost."""

import threading
import time

import psycopg
import pytest
from django.db import connection

from integrity.observer import Observer
from integrity.undo import undo
from tests.integrity import rebuilds
from tests.integrity.helpers import execute, registered
from tests.integrity.others import Other
from tests.integrity.rebuilds import BACKUP, kept, make_sales, rebuilt, rows_of, sales_differ
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def table():
    with rebuilds.given_back():
        yield


@pytest.fixture
def other():
    """Another user of the database."""
    with Other() as other:
        yield other


class At(Observer):
    """Does something once, when a step is reached."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def reaches(self, step):
        if step == self.step and self.do is not None:
            do, self.do = self.do, None
            do()


WRITES = {
    "a new key": ("INSERT INTO toy_sale (region_id, amount) VALUES ('north', 9)", [1, 2, 3, 9]),
    "a new row of a key": ("INSERT INTO toy_sale (region_id, amount) VALUES ('north', 1)", [1, 2, 3]),
    "a lower row of a key": ("INSERT INTO toy_sale (id, region_id, amount) VALUES (-5, 'north', 1)", [1, 2, 3]),
    "kept rows deleted": ("DELETE FROM toy_sale WHERE id IN (SELECT min(id) FROM toy_sale GROUP BY amount)", [1, 2, 3]),
    "all rows of a key deleted": ("DELETE FROM toy_sale WHERE amount = 2", [1, 3]),
    "a kept row changed": ("UPDATE toy_sale SET amount = 8 WHERE id = (SELECT min(id) FROM toy_sale)", [1, 2, 3, 8]),
    "all rows of a key changed": ("UPDATE toy_sale SET amount = 8 WHERE amount = 1", [2, 3, 8]),
    "a key changed to another": ("UPDATE toy_sale SET amount = 2 WHERE amount = 1", [2, 3]),
    "primary keys changed": ("UPDATE toy_sale SET id = id + 100000", [1, 2, 3]),
    "as a replica": ("SET session_replication_role = replica; DELETE FROM toy_sale WHERE amount = 2", [1, 3]),
}  # fmt: skip


@pytest.mark.parametrize("step", ["noted", "verified", "caught up"])
@pytest.mark.parametrize("what", WRITES)
def test_what_is_written_meanwhile_is_in_both_tables(what, step, other):
    make_sales(times=20)
    write, amounts = WRITES[what]
    report = rebuilt(sales_differ(), observer=At(step, lambda: other.commits(write)))
    assert report.status == "clean", report.rules[0].error
    assert [amount for _, amount in sorted(kept(), key=lambda sale: sale[1])] == amounts
    if amounts:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT min(id), amount FROM {BACKUP} GROUP BY amount ORDER BY 1")
            assert kept() == cursor.fetchall()


@pytest.mark.parametrize("step", ["noted", "verified", "caught up"])
def test_a_table_that_is_emptied_meanwhile_has_nothing_to_rebuild(step, other):
    make_sales(times=20)
    names = rebuilds.names_in_schema()
    report = rebuilt(sales_differ(), observer=At(step, lambda: other.commits("TRUNCATE toy_sale")))
    assert (report.status, report.changes, rows_of()) == ("clean", 0, []), report.rules[0].error
    assert rebuilds.names_in_schema() == names


@pytest.mark.parametrize("step", ["noted", "compared"])
@pytest.mark.parametrize(
    "what", ["a new key", "all rows of a key deleted", "a kept row changed", "primary keys changed"]
)
def test_what_is_written_while_a_rebuild_is_taken_back_is_carried_over(what, step, other):
    make_sales(times=3)
    rule = sales_differ()
    run = rebuilt(rule).run
    live = {}

    def write():
        other.commits(WRITES[what][0])
        live["rows"] = kept()

    with registered(rule):
        report = undo(run, observer=At(step, write))
    assert report.status == "clean", report.rules[0].error
    assert set(live["rows"]) <= set(kept())
    assert len(kept()) == 6 + len(live["rows"])


def test_readers_and_writers_meet_no_error_and_no_empty_table():
    make_sales(times=1000)
    problems, looks, writes = [], [], []
    stop = threading.Event()

    def reads():
        with Other() as reader:
            while not stop.is_set():
                rows = reader.connection.execute("SELECT count(*), count(DISTINCT amount) FROM toy_sale").fetchone()
                reader.rollback()
                looks.append(rows)

    def writes_on(number):
        with Other() as writer:
            while not stop.is_set():
                amount = 10 + number * 100_000 + len(writes)
                started = time.monotonic()
                try:
                    writer.commits("INSERT INTO toy_sale (region_id, amount) VALUES ('north', %s)", [amount])
                except psycopg.Error as error:
                    problems.append(error)
                    return
                writes.append((amount, time.monotonic() - started))

    threads = [threading.Thread(target=reads), *(threading.Thread(target=writes_on, args=[i]) for i in range(3))]
    for thread in threads:
        thread.start()
    rule = sales_differ()
    report = rebuilt(rule)
    time.sleep(0.1)
    with registered(rule):
        taken_back = undo(report.run)
    stop.set()
    for thread in threads:
        thread.join()
    assert (report.status, taken_back.status) == ("clean", "clean"), (report.rules[0].error, taken_back.rules[0].error)
    assert problems == []
    assert min(distinct for _, distinct in looks) >= 3
    assert any(rows == distinct for rows, distinct in looks)
    there = {amount for _, amount in kept()}
    assert there == {1, 2, 3} | {amount for amount, _ in writes}
    assert len(kept()) == 3000 + len(writes)


def test_whoever_waits_for_the_table_waits_no_longer_than_the_limit(other, settings):
    make_sales(times=20)
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 200, "SWAP_SECONDS": 1}
    waited = []
    stop = threading.Event()

    def reads():
        with Other() as reader:
            while not stop.is_set():
                started = time.monotonic()
                reader.connection.execute("SELECT count(*) FROM toy_sale")
                reader.rollback()
                waited.append(time.monotonic() - started)

    thread = threading.Thread(target=reads)
    thread.start()
    # Somebody has read and does not end: the table is never free.
    other.begin("SELECT count(*) FROM toy_sale")
    report = rebuilt(sales_differ())
    stop.set()
    thread.join()
    assert report.status == "failed"
    assert max(waited) < 0.2 + 0.5


def test_a_table_that_is_never_free_is_left_as_it_was_and_its_holder_named(other, settings):
    make_sales(times=20)
    before, names = rows_of(), rebuilds.names_in_schema()
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "SWAP_SECONDS": 0.5}
    report = rebuilt(sales_differ(), observer=At("verified", lambda: other.begin(WRITES["a new key"][0])))
    assert (report.status, report.exit_code) == ("failed", 3)
    assert f"process {other.pid}" in report.rules[0].error
    other.rollback()
    assert rows_of() == before
    # Its triggers could not be taken off while somebody had the table; the next repair takes them off.
    rebuilt(sales_differ())
    assert len(kept()) == 3
    with registered(sales_differ()):
        assert set(names) <= set(rebuilds.names_in_schema())


def test_a_writer_who_is_at_work_is_waited_for(other):
    make_sales(times=20)
    other.begin("DELETE FROM toy_sale WHERE amount = 2")
    threading.Timer(0.7, other.commit).start()
    assert rebuilt(sales_differ()).status == "clean"
    assert [amount for _, amount in kept()] == [1, 3]


def test_an_older_snapshot_is_waited_for_and_sees_the_rows(other):
    make_sales(times=20)
    other.begin("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other.begin("SELECT 1 FROM toy_account")
    seen = []

    def looks():
        seen.append(other.connection.execute("SELECT count(*) FROM toy_sale").fetchone()[0])
        other.commit()

    threading.Timer(0.7, looks).start()
    assert rebuilt(sales_differ()).status == "clean"
    assert seen == [60]


def test_an_older_snapshot_that_does_not_end_is_named_and_nothing_changes(other, settings):
    make_sales(times=20)
    before, names = rows_of(), rebuilds.names_in_schema()
    settings.INTEGRITY = {"SWAP_SECONDS": 0.3}
    other.begin("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
    other.begin("SELECT 1 FROM toy_account")
    report = rebuilt(sales_differ())
    assert (report.status, report.exit_code) == ("failed", 3)
    assert f"process {other.pid}" in report.rules[0].error
    assert "would see it without its rows" in report.rules[0].error
    assert (rows_of(), rebuilds.names_in_schema()) == (before, names)


def test_a_long_writer_elsewhere_makes_no_new_snapshot_old(other):
    """Its number is in every snapshot; only those that are really older are waited for."""
    make_sales(times=20)
    other.begin("INSERT INTO toy_club (points) VALUES (1)")
    with Other() as reader:

        def looks():
            reader.begin("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            reader.begin("SELECT 1 FROM toy_account")

        # After the clean table is filled, so that it sees it.
        assert rebuilt(sales_differ(), observer=At("verified", looks)).status == "clean"


def test_a_table_that_is_altered_meanwhile_is_left(other):
    make_sales(times=20)
    report = rebuilt(sales_differ(), observer=At("verified", lambda: other.commits("ALTER TABLE toy_sale ADD c int")))
    assert (report.status, len(rows_of())) == ("failed", 60)
    assert "was altered while it was rebuilt (column c)" in report.rules[0].error


def test_parents_may_be_written_and_deleted_meanwhile(other):
    make_sales(times=20)
    make_sales(times=20, region="south")

    def leaves():
        other.begin("DELETE FROM toy_sale WHERE region_id = 'south'")
        other.commits("DELETE FROM toy_region WHERE code = 'south'")

    assert rebuilt(sales_differ(), observer=At("verified", leaves)).status == "clean"
    assert toy.Region.objects.count() == 1
    execute("UPDATE toy_region SET sales = 1")
