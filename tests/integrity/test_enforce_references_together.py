"""References with others at work: nobody refers to a row that somebody takes away, whoever commits first."""

import threading
from contextlib import contextmanager
from random import Random

import psycopg
import pytest
from django.db.models import Q

from integrity import References
from integrity.enforce import enforce
from integrity.enforcement.states import state
from tests.integrity.helpers import declared, finds, registered
from tests.integrity.others import Other
from tests.integrity.test_derived import make_account
from tests.players.bank import deadlocks
from tests.toy import models as toy
from tests.toy.models import of_type

pytestmark = pytest.mark.django_db(transaction=True)

TARGETS, WRITERS, ROUNDS = 8, 4, 5


@contextmanager
def kept(*arguments, **options):
    """A rule enforced for a while, with real commits."""
    rule = declared(References, *arguments, enforce=True, **options)
    assert rule.check() == []
    with registered(rule):
        assert enforce([rule]).rules[0].enforcement == "enforced"
        try:
            yield rule
        finally:
            assert enforce([rule], remove=True).exit_code == 0


@pytest.fixture
def pair():
    with kept(toy.Tag, "target", to=[toy.Account, toy.Box], name="tag_leads") as rule:
        yield rule


@pytest.fixture
def counted():
    """A number that leads to an account which is not hidden."""
    among, where = Q(hidden=False), Q(points__gt=0)
    with kept(toy.Club, "points", to=toy.Account, among=among, where=where, name="club_leads") as rule:
        yield rule


def refer(account, kind="tag"):
    if kind == "tag":
        insert = "INSERT INTO toy_tag (content_type_id, object_id, weight) VALUES (%s, %s, 1)"
        return insert, [of_type(toy.Account).pk, str(account.pk)]
    return "INSERT INTO toy_club (points) VALUES (%s)", [account.pk]


def lose(account, change="delete"):
    statement = {"delete": "DELETE FROM toy_account", "hide": "UPDATE toy_account SET hidden = true"}[change]
    return f"{statement} WHERE id = %s", [account.pk]


class Outcome:
    """A statement on a user's own thread, and what became of it."""

    def __init__(self, user, statement, params):
        self.user, self.error = user, None
        self.thread = threading.Thread(target=self._run, args=[statement, params])
        self.thread.start()

    def _run(self, statement, params):
        try:
            self.user.commits(statement, params)
        except psycopg.Error as error:
            self.error = error
            self.user.rollback()

    def join(self):
        self.thread.join()
        return self.error


@pytest.mark.parametrize(("kind", "loss"), [("tag", "delete"), ("club", "hide"), ("club", "delete")])
@pytest.mark.parametrize("first", ["refers", "loses"])
def test_the_second_of_two_waits_and_is_refused(pair, counted, kind, loss, first):
    account = make_account()
    statements = {"refers": refer(account, kind), "loses": lose(account, loss)}
    second = "loses" if first == "refers" else "refers"
    with Other() as one, Other() as other:
        one.begin(*statements[first])
        outcome = Outcome(other, *statements[second])
        other.await_wait()
        one.commit()
        error = outcome.join()
    assert isinstance(error, psycopg.errors.ForeignKeyViolation)
    assert f"toy.{kind}_leads: " in str(error)
    assert finds(pair) == finds(counted) == {}


@pytest.mark.parametrize(("kind", "loss"), [("tag", "delete"), ("club", "hide")])
@pytest.mark.parametrize("first", ["refers", "loses"])
def test_the_second_goes_on_where_the_first_gives_up(pair, counted, kind, loss, first):
    account = make_account()
    statements = {"refers": refer(account, kind), "loses": lose(account, loss)}
    second = "loses" if first == "refers" else "refers"
    with Other() as one, Other() as other:
        one.begin(*statements[first])
        outcome = Outcome(other, *statements[second])
        other.await_wait()
        one.rollback()
        assert outcome.join() is None
    assert finds(pair) == finds(counted) == {}


def test_two_refer_to_one_row_without_waiting(pair):
    account = make_account()
    with Other() as one, Other() as other:
        one.begin(*refer(account))
        other.begin("SET LOCAL lock_timeout = 200")
        other.commits(*refer(account))
        one.begin("UPDATE toy_account SET name = 'x' WHERE id = %s", [account.pk])
        one.commit()
    assert toy.Tag.objects.count() == 2


def test_a_loss_from_an_old_snapshot_is_refused(pair):
    account = make_account()
    with Other() as old, Other() as user:
        old.begin("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.begin("SELECT count(*) FROM toy_tag")
        user.commits(*refer(account))
        with pytest.raises(psycopg.errors.FeatureNotSupported, match="REPEATABLE READ"):
            old.begin(*lose(account))
    assert finds(pair) == {}


@pytest.mark.parametrize("loss", ["hide", "delete"])
def test_a_reference_from_an_old_snapshot_to_what_has_gone_is_refused(counted, loss):
    account = make_account()
    with Other() as old, Other() as user:
        old.begin("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        old.begin("SELECT count(*) FROM toy_account")
        user.commits(*lose(account, loss))
        with pytest.raises((psycopg.errors.FeatureNotSupported, psycopg.errors.SerializationFailure)):
            old.begin(*refer(account, "club"))
    assert finds(counted) == {}


# Random interleavings


class Writer(threading.Thread):
    """Transactions of one statement, on rows that refer and on rows referred to."""

    def __init__(self, seed, accounts, count):
        super().__init__()
        self.random, self.accounts, self.count = Random(seed), accounts, count
        self.type = of_type(toy.Account).pk
        self.done, self.refused, self.errors = 0, 0, []

    def run(self):
        with Other() as user:
            for _ in range(self.count):
                try:
                    user.begin(*self.statement())
                    user.rollback() if self.random.random() < 0.1 else user.commit()
                    self.done += 1
                except psycopg.errors.IntegrityError:
                    user.rollback()
                    self.refused += 1
                except psycopg.Error as error:
                    user.rollback()
                    self.errors.append(error)

    def statement(self):
        id_ = self.random.choice(self.accounts)
        match self.random.randrange(9):
            case 0 | 1:
                insert = "INSERT INTO toy_tag (content_type_id, object_id, weight) VALUES (%s, %s, 1)"
                return insert, [self.type, str(id_)]
            case 2:
                return "INSERT INTO toy_club (points) VALUES (%s)", [id_]
            case 3:
                return "DELETE FROM toy_account WHERE id = %s", [id_]
            case 4:
                # Back again, as a copy of one that stays.
                copy = "jsonb_populate_record(a, jsonb_build_object('id', %s::bigint, 'name', ''))"
                rows = f"SELECT ({copy}).* FROM toy_account AS a WHERE a.name = 'model'"
                return f"INSERT INTO toy_account {rows} ON CONFLICT (id) DO NOTHING", [id_]
            case 5:
                return "UPDATE toy_account SET hidden = %s WHERE id = %s", [self.random.random() < 0.5, id_]
            case 6:
                return "DELETE FROM toy_tag WHERE object_id = %s", [str(id_)]
            case 7:
                return "DELETE FROM toy_club WHERE points = %s", [id_]
            case _:
                other = str(self.random.choice(self.accounts))
                return "UPDATE toy_tag SET object_id = %s WHERE object_id = %s", [other, str(id_)]


def interleave(pair, counted, transactions, seed=1):
    make_account(name="model")
    accounts = [make_account().pk for _ in range(TARGETS)]
    before, done, refused = deadlocks(), 0, 0
    for quiet in range(ROUNDS):
        count = transactions // WRITERS // ROUNDS
        writers = [Writer(f"{seed}:{quiet}:{number}", accounts, count) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for writer in writers:
            writer.join()
        assert [error for writer in writers for error in writer.errors] == []
        assert (finds(pair), finds(counted)) == ({}, {})
        done += sum(writer.done for writer in writers)
        refused += sum(writer.refused for writer in writers)
    assert done > 0 < refused
    assert deadlocks() == before


def test_no_reference_dangles_after_a_thousand_random_transactions(pair, counted):
    interleave(pair, counted, 1000)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(2, 12))
def test_no_reference_dangles_after_many_random_transactions(pair, counted, seed):
    interleave(pair, counted, 5000, seed)


# Rollout


def test_old_orphans_are_cleaned_while_others_write():
    """Guard, clean, validate. Other columns of an old orphan may be written meanwhile, unlike under a CHECK."""
    rule = declared(References, toy.Club, "points", to=toy.Branch, enforce=True, name="leads")
    branch = toy.Branch.objects.create(code="a")
    orphan = toy.Club.objects.create(points=-1)
    with registered(rule), Other() as user:
        assert enforce([rule]).rules[0].enforcement == "guarded"
        user.commits("UPDATE toy_club SET id = -5 WHERE id = %s", [orphan.pk])
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            user.commits("UPDATE toy_club SET points = -2 WHERE id = -5")
        user.rollback()
        user.commits("DELETE FROM toy_club WHERE id = -5")
        user.begin("INSERT INTO toy_club (points) VALUES (%s)", [branch.pk])
        assert enforce([rule]).rules[0].enforcement == "enforced"
        user.commit()
        assert finds(rule) == {}
        assert enforce([rule], remove=True).exit_code == 0


def test_a_table_that_stays_held_is_told(settings):
    settings.INTEGRITY = {"LOCK_TIMEOUT_MS": 50, "LOCK_RETRIES": 2}
    rule = declared(References, toy.Club, "points", to=toy.Branch, enforce=True, name="leads")
    with registered(rule), Other() as user:
        user.begin("INSERT INTO toy_club (points) VALUES (1)")
        report = enforce([rule]).rules[0]
        assert (report.status, "Somebody holds a table" in report.error, state(rule)) == ("failed", True, "missing")
