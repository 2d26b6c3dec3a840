"""Interleavings with real commits: writers, holders of locks and editors at each named step of a repair."""

import threading
from decimal import Decimal

import psycopg
import pytest
from django.db.models import F

from integrity.models import Change
from integrity.observer import Observer
from integrity.undo import undo
from tests.integrity import worlds
from tests.integrity.others import Other
from tests.integrity.worlds import DAY, WORLDS
from tests.toy.models import Account, Entry, Ledger, Posting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def other():
    """Another user of the database."""
    with Other() as other:
        yield other


@pytest.fixture
def accounts():
    WORLDS["accounts"].make()


@pytest.fixture
def ledgers():
    WORLDS["ledgers"].make()


class At(Observer):
    """Does something once, when a step is reached for the first time."""

    def __init__(self, step, do):
        self.step, self.do = step, do

    def reaches(self, step):
        if step == self.step and self.do is not None:
            do, self.do = self.do, None
            do()


def deposit(other, account, amount):
    """What a correct writer does: child and parent in one transaction."""
    other.begin("INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, %s, false)", [account, amount])
    other.begin("UPDATE toy_account SET balance = balance + %s WHERE id = %s", [amount, account])


def balance(account):
    return Account._base_manager.get(pk=account).balance


def assert_adds_up(account):
    entries = Entry.objects.filter(account=account).values_list("amount", flat=True)
    assert balance(account) == sum(entries)


# An increment between look and write


@pytest.mark.usefixtures("accounts")
def test_a_deposit_committed_after_the_look_is_not_lost(other):
    def after_the_look():
        deposit(other, 2, 5)
        other.commit()

    assert worlds.perform("accounts", observer=At("detected", after_the_look)).status == "clean"
    assert balance(2) == 8


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("step", ["locked", "planned", "written", "checked", "recorded"])
def test_a_deposit_begun_within_the_batch_waits_for_its_end(step, other):
    writer = threading.Thread(target=lambda: (deposit(other, 2, 5), other.commit()))

    def within_the_batch():
        writer.start()
        other.await_wait()

    assert worlds.perform("accounts", observer=At(step, within_the_batch)).status == "clean"
    writer.join()
    assert balance(2) == 8


@pytest.mark.usefixtures("accounts")
def test_a_writer_that_holds_the_account_is_waited_for_and_then_counted(other):
    deposit(other, 2, 5)
    commit = threading.Timer(0.2, other.commit)
    assert worlds.perform("accounts", observer=At("detected", commit.start)).status == "clean"
    assert balance(2) == 8


@pytest.mark.usefixtures("accounts")
@pytest.mark.parametrize("parent_first", [True, False])
def test_no_write_of_correct_writers_is_lost_while_a_repair_works(parent_first, settings):
    settings.INTEGRITY = {"BATCH_KEYS": 2, "WINDOW_KEYS": 4}
    writers = [Depositing(account, parent_first) for account in (2, 3, 4)]
    with AtWork(*writers):
        for _ in range(3):
            assert worlds.perform("accounts").status == "clean"
            Account._base_manager.filter(pk__gt=4).update(balance=F("balance") + 1)
    worlds.perform("accounts")
    assert sum(writer.done for writer in writers) > 0
    for account in (2, 3, 4):
        assert_adds_up(account)


class Depositing(threading.Thread):
    """A correct writer that works until it is told to stop."""

    def __init__(self, account, parent_first):
        super().__init__()
        self.account, self.parent_first, self.done, self.stop = account, parent_first, 0, threading.Event()

    def run(self):
        steps = [
            ("INSERT INTO toy_entry (account_id, amount, void) VALUES (%(account)s, 1, false)"),
            ("UPDATE toy_account SET balance = balance + 1 WHERE id = %(account)s"),
        ]
        with Other() as other:
            while not self.stop.is_set():
                for step in reversed(steps) if self.parent_first else steps:
                    other.begin(step, {"account": self.account})
                other.commit()
                self.done += 1


class AtWork:
    """Threads that work meanwhile."""

    def __init__(self, *threads):
        self.threads = threads

    def __enter__(self):
        for thread in self.threads:
            thread.start()

    def __exit__(self, *_):
        for thread in self.threads:
            thread.stop.set()
        for thread in self.threads:
            thread.join()


# Rows that go or move


@pytest.mark.usefixtures("accounts")
def test_an_account_deleted_after_the_look_is_left_alone(other):
    def delete():
        other.begin("DELETE FROM toy_entry WHERE account_id = 2")
        other.commits("DELETE FROM toy_account WHERE id = 2")

    report = worlds.perform("accounts", observer=At("detected", delete))
    assert (report.status, report.changes) == ("clean", len(worlds.WRONG) - 1)


@pytest.mark.usefixtures("ledgers")
def test_a_row_edited_between_plan_and_lock_is_planned_anew(other, monkeypatch):
    editing(monkeypatch, other, times=1)
    report = worlds.perform("ledgers", keys=[2])
    assert (report.status, report.rules[0].skipped) == ("clean", 0)
    assert postings(2) == 10


@pytest.mark.usefixtures("ledgers")
def test_a_row_that_is_edited_again_and_again_is_skipped_and_reported(other, monkeypatch):
    editing(monkeypatch, other, times=100)
    report = worlds.perform("ledgers", keys=[2, 4])
    assert (report.status, report.exit_code, report.rules[0].skipped) == ("partial", 3, 1)
    assert report.rules[0].reasons == ["id 2: its rows kept changing or stayed locked while it was repaired"]
    assert postings(4) == 10
    assert not Change.objects.filter(key__id=str(newest(2))).exists()


def editing(monkeypatch, other, times):
    """Edits the newest posting of ledger 2 between plan and lock, so often."""
    from integrity.repairing.plan import Plan

    lock, left = Plan.lock, [times]

    def edit_then_lock(plan):
        if left[0]:
            left[0] -= 1
            other.commits("UPDATE toy_posting SET amount = amount + 1 WHERE id = %s", [newest(2)])
        return lock(plan)

    monkeypatch.setattr(Plan, "lock", edit_then_lock)


def newest(ledger):
    return Posting.objects.filter(ledger=ledger).latest("id").pk


def postings(ledger):
    return sum(Posting.objects.filter(ledger=ledger).values_list("amount", flat=True))


@pytest.mark.usefixtures("ledgers")
def test_a_posting_deleted_between_plan_and_lock_is_planned_anew(other, monkeypatch):
    from integrity.repairing.plan import Plan

    lock, gone = Plan.lock, []

    def delete_then_lock(plan):
        if not gone:
            gone.append(newest(2))
            other.commits("DELETE FROM toy_posting WHERE id = %s", gone)
        return lock(plan)

    monkeypatch.setattr(Plan, "lock", delete_then_lock)
    assert worlds.perform("ledgers", keys=[2]).status == "clean"
    assert postings(2) == 10


# Locks of others


@pytest.mark.usefixtures("accounts")
def test_an_account_that_stays_locked_is_skipped_alone_and_said_so(other, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "LOCK_RETRIES": 2}
    other.begin("UPDATE toy_account SET name = 'mine' WHERE id = 5")
    report = worlds.perform("accounts")
    assert (report.status, report.exit_code) == ("partial", 3)
    assert (report.rules[0].skipped, report.changes) == (1, len(worlds.WRONG) - 1)
    assert report.rules[0].reasons[0].startswith("id 5: ")
    other.commit()
    assert worlds.perform("accounts").status == "clean"


@pytest.mark.usefixtures("ledgers")
def test_a_posting_that_stays_locked_is_skipped_alone_and_said_so(other, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "LOCK_RETRIES": 2}
    other.begin("SELECT FROM toy_posting WHERE id = %s FOR UPDATE", [newest(2)])
    report = worlds.perform("ledgers")
    assert (report.status, report.exit_code, report.rules[0].skipped) == ("partial", 3, 1)
    other.rollback()
    assert worlds.perform("ledgers").status == "clean"


HEADSTARTS = [0.1, 0.8]
"""The server looks for a circle once, a second after a wait began: in the second case while the repair would wait."""


def closing_the_circle(other, user, headstart):
    """The user, who holds what will be wanted next, asks for what is held already."""

    def close():
        user.start()
        other.await_wait()
        threading.Event().wait(headstart)

    return close


@pytest.mark.usefixtures("ledgers")
@pytest.mark.parametrize("headstart", HEADSTARTS)
def test_a_user_who_changes_a_posting_and_then_its_ledger_is_no_victim(headstart, other):
    other.begin("UPDATE toy_posting SET note = 'mine' WHERE id = %s", [newest(2)])
    user = Waiting(other, "UPDATE toy_ledger SET opened_at = now() WHERE id = 2")
    report = worlds.perform("ledgers", observer=At("locked", closing_the_circle(other, user, headstart)))
    user.join()
    assert user.error is None
    assert report.status == "clean"


@pytest.mark.usefixtures("ledgers")
@pytest.mark.parametrize("headstart", HEADSTARTS)
def test_a_user_who_inserts_the_same_row_and_then_changes_its_ledger_is_no_victim(headstart, other):
    other.begin(
        "INSERT INTO toy_posting (ledger_id, amount, day, correction, note, made_at)"
        " VALUES (3, 1, %s, true, 'mine', now())",
        [DAY],
    )
    user = Waiting(other, "UPDATE toy_ledger SET opened_at = now() WHERE id = 3")
    report = worlds.perform("ledgers", observer=At("planned", closing_the_circle(other, user, headstart)))
    user.join()
    assert user.error is None
    assert report.status == "clean"


@pytest.mark.usefixtures("ledgers")
@pytest.mark.parametrize("headstart", HEADSTARTS)
def test_a_user_who_takes_rows_in_another_order_than_an_undo_is_no_victim(headstart, other):
    run = worlds.perform("ledgers").run
    taken_back_first = Change.objects.filter(before__isnull=True).latest("id").key["id"]
    taken_back_later = Change.objects.filter(before__isnull=False, after__isnull=False).earliest("id").key["id"]
    other.begin("UPDATE toy_posting SET note = 'mine' WHERE id = %s", [taken_back_later])
    user = Waiting(other, f"UPDATE toy_posting SET note = 'mine' WHERE id = {taken_back_first}")
    report = undo(run, observer=At("restored", closing_the_circle(other, user, headstart)))
    user.join()
    assert user.error is None
    assert {c.key["id"] for c in report.rules[0].conflicts} == {taken_back_first, taken_back_later}


class Waiting(threading.Thread):
    """A statement of a user that waits for a lock, and the commit after it."""

    def __init__(self, other, statement):
        super().__init__()
        self.other, self.statement, self.error = other, statement, None

    def run(self):
        try:
            self.other.commits(self.statement)
        except psycopg.Error as error:
            self.error = error


# Between repair and undo


@pytest.mark.usefixtures("ledgers")
def test_a_row_edited_between_repair_and_undo_is_a_conflict_and_stays(other):
    run = worlds.perform("ledgers").run
    edited = Change.objects.filter(before__isnull=False, after__isnull=False).first().key["id"]
    other.commits("UPDATE toy_posting SET note = 'mine' WHERE id = %s", [edited])
    report = undo(run)
    (conflict,) = report.rules[0].conflicts
    assert (report.status, report.exit_code) == ("partial", 3)
    assert (conflict.key, conflict.why) == ({"id": edited}, "it was changed since")
    assert Posting.objects.get(pk=edited).note == "mine"


@pytest.mark.usefixtures("ledgers")
def test_a_row_that_is_locked_while_an_undo_works_is_a_conflict_and_can_be_undone_later(other, settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "LOCK_RETRIES": 2}
    start = worlds.bytes_of("ledgers")
    run = worlds.perform("ledgers").run
    locked = Change.objects.filter(before__isnull=False, after__isnull=False).first().key["id"]
    other.begin("SELECT FROM toy_posting WHERE id = %s FOR UPDATE", [locked])
    assert undo(run).status == "partial"
    other.rollback()
    assert undo(run).status == "clean"
    assert worlds.bytes_of("ledgers") == start


@pytest.mark.usefixtures("accounts")
def test_a_deposit_while_an_undo_works_is_not_lost(other):
    run = worlds.perform("accounts", keys=[2, 3]).run
    writer = threading.Thread(target=lambda: (deposit(other, 3, 5), other.commit()))

    def within_the_batch():
        writer.start()
        other.await_wait()

    assert undo(run, observer=At("restored", within_the_batch)).status == "clean"
    writer.join()
    assert balance(3) == 9 + 5


# A row that others insert


@pytest.mark.usefixtures("ledgers")
def test_a_correction_that_somebody_else_inserts_first_is_added_to(other):
    """The repair would insert the ledger's correction of that day; another one is committed before it does."""
    insert = (
        "INSERT INTO toy_posting (ledger_id, amount, day, correction, note, made_at)"
        " VALUES (3, 1, %s, true, 'theirs', now())"
    )
    other.begin(insert, [DAY])
    commit = threading.Timer(0.2, other.commit)
    report = worlds.perform("ledgers", keys=[3], observer=At("planned", commit.start))
    assert report.status == "clean"
    assert Posting.objects.filter(ledger=3, correction=True).get().amount == Decimal(3)
    assert Ledger.objects.get(pk=3).total == postings(3)


# Damage by others


@pytest.mark.usefixtures("ledgers")
def test_what_somebody_else_breaks_meanwhile_is_not_taken_for_our_harm(other):
    oldest = Posting.objects.filter(ledger=4).earliest("id").pk

    def damage():
        other.commits("UPDATE toy_posting SET amount = amount + 100 WHERE id = %s", [oldest])

    report = worlds.perform("ledgers", keys=[2, 4], observer=At("written", damage))
    assert report.status == "clean"
    assert postings(2) == postings(4) == 10
