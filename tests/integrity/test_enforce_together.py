"""Triggers over one, two and forward relations with writers at the same time: true whenever nobody writes."""

import threading
from contextlib import contextmanager
from random import Random

import psycopg
import pytest
from django.db.models import Count, F, Q, Sum

from integrity import Derived
from integrity.enforce import enforce
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.others import Other
from tests.players.bank import deadlocks
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNTS, BRANCHES, WRITERS, ROUNDS = 6, 3, 4, 5
INSERT = "INSERT INTO toy_entry (account_id, amount, void) VALUES (%s, %s, false)"
ANY_OF = "(SELECT id FROM toy_entry WHERE account_id = %s ORDER BY random() LIMIT 1)"


@pytest.fixture
def world():
    branches = [toy.Branch.objects.create(code=str(number)).pk for number in range(BRANCHES)]
    accounts = [toy.Account.objects.create(branch_id=branches[n % BRANCHES]).pk for n in range(ACCOUNTS)]
    return branches, accounts


@pytest.fixture
def two_hops():
    with kept(declared(Derived, toy.Branch, "rate", equals=Sum("accounts__entries__amount"), enforce=True)) as rule:
        yield rule


@contextmanager
def kept(rule):
    """A rule enforced for a while, with real commits."""
    assert rule.check() == []
    with registered(rule):
        # What is in the tables may differ yet.
        assert enforce([rule]).rules[0].enforcement in ("enforced", "guarded")
        try:
            yield rule
        finally:
            assert enforce([rule], remove=True).exit_code == 0


class Writer(threading.Thread):
    """Transactions of one statement on entries, on an account or on both ends of a move."""

    def __init__(self, seed, world, count):
        super().__init__()
        (self.branches, self.accounts), self.count = world, count
        self.random, self.error = Random(seed), None

    def run(self):
        try:
            with Other() as user:
                for _ in range(self.count):
                    user.begin(*self.statement())
                    user.rollback() if self.random.random() < 0.1 else user.commit()
        except psycopg.Error as error:
            self.error = error

    def statement(self):
        account, amount = self.random.choice(self.accounts), self.random.randrange(-50, 50)
        match self.random.randrange(6):
            case 0 | 1:
                return INSERT, [account, amount]
            case 2:
                return f"UPDATE toy_entry SET amount = %s WHERE id = {ANY_OF}", [amount, account]
            case 3:
                return f"DELETE FROM toy_entry WHERE id = {ANY_OF}", [account]
            case 4:
                to = self.random.choice(self.accounts)
                return f"UPDATE toy_entry SET account_id = %s WHERE id = {ANY_OF}", [to, account]
            case _:
                branch = self.random.choice([None, *self.branches])
                return "UPDATE toy_account SET branch_id = %s WHERE id = %s", [branch, account]


def interleave(rule, world, transactions, seed=1):
    before = deadlocks()
    for quiet in range(ROUNDS):
        count = transactions // WRITERS // ROUNDS
        writers = [Writer(f"{seed}:{quiet}:{number}", world, count) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [writer.error for writer in writers if writer.error] == []
        assert finds(rule) == {}
    assert deadlocks() == before


def test_two_hops_are_true_after_random_transactions(two_hops, world):
    interleave(two_hops, world, 200)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(3))
def test_two_hops_are_true_after_two_thousand_random_transactions(two_hops, world, seed):
    interleave(two_hops, world, 2000, seed)


@pytest.mark.parametrize("incremental", [False, True])
def test_sums_are_true_after_random_transactions(world, incremental):
    equals = {"balance": Sum("entries__amount"), "entry_count": Count("entries")}
    with kept(declared(Derived, toy.Account, equals=equals, incremental=incremental, enforce=True)) as rule:
        interleave(rule, world, 200)


def test_an_entry_added_while_its_account_moves_is_counted_where_it_went(two_hops, world):
    (here, there, _), (account, *_) = world
    with Other() as mover, Other() as user:
        mover.begin("UPDATE toy_account SET branch_id = %s WHERE id = %s", [there, account])
        adding = threading.Thread(target=user.begin, args=[INSERT, [account, 5]])
        adding.start()
        user.await_wait()
        mover.commit()
        adding.join()
        user.commit()
    rates = dict(toy.Branch.objects.values_list("pk", "rate"))
    assert (rates[here], rates[there], finds(two_hops)) == (0, 5, {})


@pytest.mark.parametrize("changed_first", [True, False])
def test_a_price_that_changes_while_a_row_is_attached_to_it_is_read(world, changed_first):
    """The row is not there yet for whoever changes the price, and the price not yet for whoever attaches the row."""
    (branch, *_), _ = world
    rule = declared(
        Derived, toy.Account, "limit", equals=F("branch__rate"), where=Q(branch__isnull=False), enforce=True
    )
    change = ["UPDATE toy_branch SET rate = 7 WHERE id = %s", [branch]]
    insert = (
        'INSERT INTO toy_account (branch_id, name, hidden, "limit", entry_count, tag_weight, club_points,'
        " branch_accounts) VALUES (%s, 'new', false, 0, 0, 0, 0, 0)"
    )
    attach = [insert, [branch]]
    with kept(rule), Other() as one, Other() as other:
        first, second = (change, attach) if changed_first else (attach, change)
        one.begin(*first)
        waiting = threading.Thread(target=other.begin, args=second)
        waiting.start()
        other.await_wait()
        one.commit()
        waiting.join()
        other.commit()
        assert toy.Account.objects.get(name="new").limit == 7
