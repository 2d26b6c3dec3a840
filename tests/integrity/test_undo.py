"""Undo: rows come back as they were, to the byte, as long as nobody has changed them since."""

import os
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models import F, Sum
from django.utils import timezone

from integrity import Adjust, Derived
from integrity.exceptions import UnknownName, UsageError
from integrity.models import Change, Run
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, repaired
from tests.integrity.test_safety import trigger
from tests.integrity.test_trim import amounts, make_ledger, trimmed
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

# A column of each type, with the values that a naive copy would change.
VALUES = {
    "json": ["""'{"b": 1,  "a": 1, "b": 2}'""", "'null'", "NULL", "'1.10'", """'"\\u00e9"'"""],
    "jsonb": ["""'{"b": 1, "a": null}'""", "'null'", "NULL", "'1.10'", "'[]'", """'"null"'"""],
    "text": ["''", "'null'", "E'it''s\\n\"\\t\\\\'", "'käse 🧀 \u200b'", "' padded '", "NULL", "'%s %% {}'"],
    "varchar(40)": ["'ends with blanks   '", "''"],
    "char(6)": ["'ab'", "'      '"],
    "boolean": ["true", "false", "NULL"],
    "smallint": ["-32768"],
    "bigint": ["9223372036854775807", "-9223372036854775808"],
    "numeric": ["'NaN'", "'Infinity'", "'-Infinity'", "1.10", "1e-30", "123456789012345678901234567890.0100", "0.000"],
    "numeric(20,4)": ["1.1", "'NaN'"],
    "real": ["'NaN'", "'-Infinity'", "1.1", "3.4028235e38", "1e-45"],
    "double precision": [
        "'NaN'",
        "'Infinity'",
        "0.1",
        "1.7976931348623157e308",
        "5e-324",
        "'-0'",
        "0.30000000000000004",
    ],
    "money": ["'-12345.67'"],
    "date": ["'2026-02-28'", "'0044-03-15 BC'", "'infinity'", "'-infinity'", "'5874897-12-31'"],
    "time": ["'23:59:59.999999'", "'24:00'"],
    "time with time zone": ["'04:05:06.789012-08:30'"],
    "timestamp": ["'2026-03-02 10:11:12.000001'", "'infinity'", "'4713-01-01 00:00 BC'"],
    "timestamp with time zone": ["'2026-03-29 02:30:00.123456+05:45'", "'-infinity'", "'0001-01-01 00:00+00 BC'"],
    "timestamp(0) with time zone": ["'2026-03-29 02:30:00.7+02'"],
    "interval": ["'1 year -2 mons +3 days -04:05:06.789'", "'-1 day'", "'0'", "'178000000 years'"],
    "bytea": ["'\\x00ff5c27'", "''"],
    "uuid": ["'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"],
    "inet": ["'192.168.1.5/24'", "'192.168.1.5'", "'::ffff:1.2.3.4/128'"],
    "cidr": ["'192.168.0.0/16'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit(5)": ["B'10100'"],
    "bit varying": ["B'101'", "B''"],
    "integer[]": ["'[3:5]={1,2,3}'", "'{{1,2},{3,NULL}}'", "'{}'", "NULL", "'[0:1][-1:0]={{1,2},{3,4}}'"],
    "text[]": ["""'{"",NULL,"NULL","a,b","\\\\","\\""}'"""],
    "int4range": ["'[1,5)'", "'empty'", "'(,3]'"],
    "tstzrange": ["""'["2026-01-01 00:00:00.5+00",infinity)'"""],
    "int4multirange": ["'{[1,3),[5,9)}'", "'{}'"],
    "point": ["'(0.1,-1e300)'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "tsvector": ["""'fat:2A cat:3 ''it''''s'':1'"""],
    "tsquery": ["'fat & !rat:*A'"],
    "oid": ["4294967295"],
    "pg_lsn": ["'16/B374D848'"],
    "jsonpath": ["""'$."a"[*] ? (@ > 1)'"""],
    "mood": ["'so so'", "NULL"],
    "short_text": ["'abc'"],
    "pair": ["""'(1,"a,""b")'""", """'(,"")'""", "NULL"],
}


def give_columns(table="toy_posting"):
    """Give a table a column of each type, those that the database fills in included."""
    execute(
        "CREATE TYPE mood AS ENUM ('sad', 'so so')",
        "CREATE DOMAIN short_text AS text CHECK (length(VALUE) < 5)",
        "CREATE TYPE pair AS (a int, b text)",
        *(f'ALTER TABLE {table} ADD "column {i}" {type_}' for i, type_ in enumerate(VALUES)),
        f"ALTER TABLE {table} ADD doubled numeric GENERATED ALWAYS AS (amount * 2) STORED",
        f"ALTER TABLE {table} ADD counted bigint GENERATED ALWAYS AS IDENTITY",
        f'ALTER TABLE {table} ADD "t" text, ADD "b" text, ADD "p" text, ADD "it""s" text',
    )


def fill_columns(table="toy_posting"):
    """Give each row the next value of each column."""
    for i, (type_, values) in enumerate(VALUES.items()):
        listed = ", ".join(f"({n}, {value})" for n, value in enumerate(values))
        execute(
            f"UPDATE {table} AS t SET \"column {i}\" = v.value::{type_}, t = 't', b = 'b'"
            f" FROM (VALUES {listed}) AS v (n, value) WHERE t.id % {len(values)} = v.n"
        )


def printed(table="toy_posting"):
    """Every column of every row as text, by key."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT * FROM {table} LIMIT 0")
        columns = ["t.{}::text".format('"' + column.name.replace('"', '""') + '"') for column in cursor.description]
        cursor.execute(f"SELECT id, {', '.join(columns)}, t::text FROM {table} AS t ORDER BY t.id".replace("%", "%%"))
        return cursor.fetchall()


def adjusted():
    adjust = Adjust("postings", amount="amount", row={})
    equals = Sum("postings__amount")
    return declared(Derived, toy.Ledger, "total", truth="column", equals=equals, repairs={"adjust": adjust})


# To the byte


@pytest.mark.parametrize("total", [0, 1], ids=["deleted", "updated"])
def test_every_type_comes_back_to_the_byte(total):
    give_columns()
    for _ in range(7):
        make_ledger(total, ["3"])
    fill_columns()
    before = printed()
    run = repaired(trimmed()).run
    assert printed() != before
    assert undo(run).status == "clean"
    assert printed() == before


def test_every_type_comes_back_through_an_undo_of_an_undo():
    give_columns()
    for total in (0, 1, 0, 1, 0, 1, 0):
        make_ledger(total, ["3"])
    fill_columns()
    before, run = printed(), repaired(trimmed()).run
    after = printed()
    second = undo(run).run
    third = undo(second).run
    assert printed() == after
    undo(third)
    assert printed() == before


def test_other_settings_of_a_session_change_nothing():
    give_columns()
    for _ in range(7):
        make_ledger(0, ["3"])
    fill_columns()
    before = printed()
    execute(
        "SET LOCAL IntervalStyle = 'iso_8601'",
        "SET LOCAL bytea_output = 'escape'",
        "SET LOCAL extra_float_digits = -15",
    )
    run = repaired(trimmed()).run
    execute(
        "SET LOCAL IntervalStyle = 'postgres'", "SET LOCAL bytea_output = 'hex'", "SET LOCAL extra_float_digits = 1"
    )
    assert undo(run).status == "clean"
    assert printed() == before


@pytest.mark.parametrize(
    "setting", ["IntervalStyle = 'iso_8601'", "bytea_output = 'escape'", "extra_float_digits = -15"]
)
def test_a_row_is_unchanged_whatever_the_settings_that_look_at_it(setting):
    give_columns()
    for _ in range(7):
        make_ledger(1, ["3"])
    fill_columns()
    run = repaired(trimmed()).run
    execute(f"SET LOCAL {setting}")
    assert undo(run).status == "clean"


def test_a_table_of_more_columns_than_one_object_takes_comes_back():
    execute(*(f"ALTER TABLE toy_posting ADD c{i} int DEFAULT {i}" for i in range(120)))
    make_ledger(0, ["3"])
    before = printed()
    undo(repaired(trimmed()).run)
    assert printed() == before


def test_a_column_that_was_added_since_gets_its_default():
    make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    execute("ALTER TABLE toy_posting ADD added int DEFAULT 7")
    assert undo(run).status == "clean"
    assert [row[-2] for row in printed()] == ["7"]


def test_a_column_that_was_added_since_is_left_in_an_updated_row():
    ledger = make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    execute("ALTER TABLE toy_posting ADD added int", "UPDATE toy_posting SET added = 9")
    assert undo(run).status == "clean"
    assert (amounts(ledger), [row[-2] for row in printed()]) == (["3.00"], ["9"])


def test_columns_that_the_repair_did_not_write_are_not_written():
    make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    trigger("toy_posting", "UPDATE OF note")
    assert undo(run).status == "clean"


def test_rows_that_were_added_are_removed():
    ledger = make_ledger(5, ["3"])
    run = repaired(adjusted()).run
    assert undo(run).changes == 1
    assert amounts(ledger) == ["3.00"]


# Refused


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            "ALTER TABLE toy_posting ALTER note TYPE text",
            "toy_posting.note was character varying(20) when run {} wrote it and is text now",
        ),
        (
            "ALTER TABLE toy_posting ALTER amount TYPE numeric(12,3)",
            "toy_posting.amount was numeric(12,2) when run {} wrote it and is numeric(12,3) now",
        ),
        (
            "ALTER TABLE toy_posting DROP note",
            "toy_posting.note was character varying(20) when run {} wrote it and is gone",
        ),
        (
            "ALTER TABLE toy_posting RENAME note TO remark",
            "toy_posting.note was character varying(20) when run {} wrote it and is gone",
        ),
    ],
)
def test_a_column_that_is_otherwise_now_is_refused(change, message):
    make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    execute(change)
    report = undo(run)
    assert (report.status, report.exit_code, report.changes) == ("refused", 3, 0)
    assert report.rules[0].error == f"{message.format(run)}: it cannot be put back."


def test_a_foreign_trigger_is_refused_and_named():
    make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    trigger("toy_posting", "INSERT")
    report = undo(run)
    assert report.status == "refused"
    assert "would fire the trigger audit" in report.rules[0].error
    assert not toy.Posting.objects.exists()


def test_a_trigger_that_the_repair_allowed_may_fire():
    ledger = make_ledger(0, ["3"])
    trigger("toy_posting", "INSERT OR DELETE")
    execute("CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
    run = repaired(trimmed(allow_triggers=["audit"])).run
    assert undo(run).status == "clean"
    assert amounts(ledger) == ["3.00"]


def test_a_trigger_that_changes_what_is_put_back_is_found_out():
    make_ledger(0, ["3"])
    trigger("toy_posting", "INSERT OR DELETE", when="BEFORE")
    execute(
        "CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN IF TG_OP = ''DELETE'' THEN RETURN OLD; END IF; NEW.note = ''changed''; RETURN NEW; END'"
    )
    run = repaired(trimmed(allow_triggers=["audit"])).run
    report = undo(run)
    assert (report.status, report.exit_code) == ("failed", 3)
    assert "did not come back as they were" in report.rules[0].error
    assert not toy.Posting.objects.exists()


def test_an_undo_is_not_done_twice():
    make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    second = undo(run).run
    with pytest.raises(
        UsageError, match=rf"^Run {run} was undone by run {second}\. To take that back: .* undo {second}$"
    ):
        undo(run)


def test_an_unknown_run_lists_those_that_can_be_undone():
    make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    with pytest.raises(UnknownName, match=rf"^Unknown run '999999'\. Known: {run}\.$"):
        undo(999999)


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_run_that_wrote_nothing_cannot_be_undone(dry_run):
    make_ledger(0 if dry_run else 3, ["3"])
    run = repaired(trimmed(), dry_run=dry_run).run
    with pytest.raises(UsageError, match=rf"Run {run} \(repair\) changed nothing; there is nothing to undo\."):
        undo(run)


# Conflicts


def test_a_row_that_was_edited_since_is_listed_and_left():
    edited, free = make_ledger(1, ["3"]), make_ledger(1, ["4"])
    run = repaired(trimmed()).run
    toy.Posting.objects.filter(ledger=edited).update(note="by hand")
    report = undo(run)
    assert (report.status, report.exit_code, report.changes) == ("partial", 3, 1)
    (conflict,) = report.rules[0].conflicts
    assert (conflict.table, conflict.key, conflict.why) == (
        "toy_posting",
        {"id": str(edited.postings.get().pk)},
        "it was changed since",
    )
    assert (amounts(edited), amounts(free)) == (["1.00"], ["4.00"])


def test_a_row_that_was_deleted_since_is_listed():
    ledger = make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    ledger.postings.all().delete()
    report = undo(run)
    assert [conflict.why for conflict in report.rules[0].conflicts] == ["it was deleted since"]
    assert amounts(ledger) == []


def test_a_row_whose_key_is_in_use_again_is_listed_and_left():
    ledger = make_ledger(0, ["3"])
    posting = ledger.postings.get()
    run = repaired(trimmed()).run
    toy.Posting.objects.create(pk=posting.pk, ledger=ledger, amount=9)
    report = undo(run)
    assert [conflict.why for conflict in report.rules[0].conflicts] == ["a row with this key exists again"]
    assert amounts(ledger) == ["9.00"]


def test_a_row_that_a_unique_constraint_forbids_now_is_listed_and_the_others_come_back():
    day = timezone.now().date()
    taken, free = make_ledger(0, ["3"], day=day, correction=True), make_ledger(0, ["4"])
    run = repaired(trimmed()).run
    toy.Posting.objects.create(ledger=taken, amount=9, day=day, correction=True)
    report = undo(run)
    assert (report.status, report.changes) == ("partial", 1)
    assert "toy_one_correction_a_day" in report.rules[0].conflicts[0].why
    assert (amounts(taken), amounts(free)) == (["9.00"], ["4.00"])


def test_a_row_whose_parent_is_gone_is_listed():
    ledger = make_ledger(0, ["3"])
    run = repaired(trimmed()).run
    ledger.delete()
    report = undo(run)
    assert report.status == "partial"
    assert "foreign key" in report.rules[0].conflicts[0].why


def test_a_row_that_is_referred_to_by_now_is_not_removed():
    ledger = make_ledger(5)
    run = repaired(adjusted()).run
    receipt = toy.Receipt.objects.create(posting=ledger.postings.get())
    report = undo(run)
    assert (report.status, amounts(ledger)) == ("partial", ["5.00"])
    assert report.rules[0].conflicts[0].why == "rows of toy_receipt refer to it"
    assert toy.Receipt.objects.get() == receipt


@pytest.mark.parametrize("action", ["CASCADE", "SET NULL", "SET DEFAULT"])
def test_nothing_goes_along_with_a_row_that_an_undo_removes(action):
    ledger = make_ledger(5)
    run = repaired(adjusted()).run
    execute(f"CREATE TABLE foreign_notes (posting_id bigint REFERENCES toy_posting ON DELETE {action})")
    execute("INSERT INTO foreign_notes SELECT id FROM toy_posting")
    before = contents()
    report = undo(run)
    assert (report.status, contents() == before) == ("partial", True)
    assert report.rules[0].conflicts[0].why == "rows of foreign_notes refer to it"
    assert amounts(ledger) == ["5.00"]


def test_a_tag_on_a_row_that_an_undo_would_remove_keeps_it():
    make_ledger(5)
    run = repaired(adjusted()).run
    toy.Tag.objects.create(target=toy.Posting.objects.get(), weight=1)
    assert undo(run).rules[0].conflicts[0].why == "rows of toy_tag refer to it"


def test_what_was_in_conflict_can_be_undone_later():
    ledger = make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    toy.Posting.objects.update(note="by hand")
    assert undo(run).status == "partial"
    toy.Posting.objects.update(note="posted")
    assert undo(run).status == "clean"
    assert amounts(ledger) == ["3.00"]


def test_many_conflicts_are_counted_and_some_listed():
    for _ in range(5):
        make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    toy.Posting.objects.update(note="by hand")
    report = undo(run, sample=2)
    assert (report.rules[0].skipped, len(report.rules[0].conflicts)) == (5, 2)


# Several changes, several runs


def test_a_run_that_changed_a_row_twice_is_undone_step_by_step():
    parent = toy.Node.objects.create(own=1)
    toy.Node.objects.create(parent=parent, own=2)
    before = contents(toy.Node)
    rule = declared(Derived, toy.Node, "total", equals=F("own") + Sum("children__total"))
    run = repaired(rule).run
    assert Change.objects.filter(run=run, key={"id": str(parent.pk)}).count() == 2
    assert undo(run).changes == 3
    assert contents(toy.Node) == before


def test_small_batches_undo_the_same(settings):
    for _ in range(7):
        make_ledger(1, ["3", "2"])
    before = contents()
    run = repaired(trimmed()).run
    settings.INTEGRITY = {"BATCH_KEYS": 2}
    assert undo(run).changes == 14
    assert contents() == before


def test_a_later_run_over_the_same_rows_stands_in_the_way_of_an_earlier_one():
    ledger = make_ledger(5, ["9"])
    first = repaired(trimmed()).run
    toy.Ledger.objects.update(total=3)
    second = repaired(trimmed()).run
    assert undo(first).status == "partial"
    undo(second)
    assert undo(first).status == "clean"
    assert amounts(ledger) == ["9.00"]


def test_an_undo_is_a_run_with_a_reason():
    make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    record = Run.objects.get(pk=undo(run, actor="an operator", reason="too early").run)
    assert (record.verb, record.of_id, record.actor, record.reason) == ("undo", run, "an operator", "too early")
    assert Change.objects.get(run=run).undone_by == record


def test_a_dry_run_of_an_undo_changes_nothing():
    make_ledger(1, ["3", "2"])
    run = repaired(trimmed()).run
    before = contents()
    report = undo(run, dry_run=True)
    assert (report.status, report.exit_code, report.changes) == ("violated", 1, 2)
    assert contents() == before
    assert not Change.objects.exclude(undone_by=None).exists()
    assert undo(run).status == "clean"


def test_a_run_whose_process_died_can_be_undone():
    ledger = make_ledger(1, ["3"])
    run = Run.objects.get(pk=repaired(trimmed()).run)
    long_ago = timezone.now() - timedelta(hours=1)
    Run.objects.filter(pk=run.pk).update(status="running", finished_at=None, heartbeat_at=long_ago)
    run.results.update(status="running")
    assert undo(run.pk).status == "clean"
    run.refresh_from_db()
    assert (run.status, run.error) == (
        "failed",
        "Its process died; what it had committed is journaled and can be undone.",
    )
    assert amounts(ledger) == ["3.00"]


def test_a_run_that_is_at_work_cannot_be_undone():
    make_ledger(1, ["3"])
    run = repaired(trimmed()).run
    Run.objects.filter(pk=run).update(status="running", heartbeat_at=timezone.now())
    with pytest.raises(UsageError, match=rf"Run {run} is still at work \(process {os.getpid()} on "):
        undo(run)
