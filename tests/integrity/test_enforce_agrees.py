"""Two tables kept equal by triggers: what is written to one of them arrives in the other one, and no further."""

import datetime
from contextlib import contextmanager

import pytest
from django.apps import apps
from django.db.models import F, Q

from integrity import Agrees, Copy
from integrity.enforce import enforce
from integrity.enforcement.states import state
from integrity.undo import undo
from tests.integrity.helpers import contents, declared, execute, finds, registered, repaired
from tests.integrity.test_agrees import make_left, make_pair, make_right
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

FIELDS = {"city": "town", "level": "level", "created_at": "created_at", "updated_at": "updated_at"}


def agrees(**options):
    options = {
        "on": {"member": "owner"},
        "fields": FIELDS,
        "enforce": True,
        "nulls": {"city": ""},
        "repairs": {"copy": Copy("highest")},
        **options,
    }
    return declared(Agrees, toy.Profile, toy.OldProfile, name="twins", **options)


@contextmanager
def mirrored(**options):
    rule = agrees(**options)
    assert rule.check() == []
    moments = "SET created_at = '2020-01-01 00:00Z', updated_at = '2021-01-01 00:00Z'"
    execute(f"UPDATE toy_profile {moments}", f"UPDATE toy_oldprofile {moments}", "SET CONSTRAINTS ALL IMMEDIATE")
    with registered(rule):
        report = enforce([rule])
        assert not report.rules[0].error, report.rules[0].error
        yield rule


def lefts(*columns):
    return list(toy.Profile.objects.order_by("member").values_list(*columns))


def rights(*columns):
    return list(toy.OldProfile.objects.order_by("owner").values_list(*columns))


ALL_LEFT = ("member", "city", "level", "created_at", "updated_at")
ALL_RIGHT = ("owner", "town", "level", "created_at", "updated_at")


def test_a_new_row_arrives_on_the_other_side_whole():
    with mirrored() as rule:
        make_left(make_account(), city="Rome", level=3)
        make_right(make_account(), town="Oslo", level=4)
        assert lefts(*ALL_LEFT) == rights(*ALL_RIGHT)
        assert len(lefts("id")) == 2
        assert finds(rule) == {}


def test_a_change_arrives_from_either_side():
    make_pair()
    with mirrored() as rule:
        toy.Profile.objects.update(level=5)
        assert rights("level") == [(5,)]
        toy.OldProfile.objects.update(town="Oslo", updated_at=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC))
        assert lefts(*ALL_LEFT) == rights(*ALL_RIGHT)
        assert lefts("city", "level") == [("Oslo", 5)]
        assert finds(rule) == {}


def test_a_deleted_row_goes_on_both_sides():
    make_pair()
    kept = make_pair()
    with mirrored():
        toy.OldProfile.objects.exclude(owner=kept).delete()
        assert lefts("member") == rights("owner") == [(kept,)]
        toy.Profile.objects.all()._raw_delete("default")
        assert rights("owner") == []


def test_a_row_may_change_its_key():
    make_pair({"city": "Rome"}, {"town": "Rome"})
    other = make_account()
    with mirrored():
        before = toy.OldProfile.objects.get().pk
        toy.Profile.objects.update(member=other)
        assert rights("id", "owner", "town") == [(before, other.pk, "Rome")]


def test_many_rows_arrive_with_one_statement():
    keys = [make_pair() for _ in range(20)]
    with mirrored() as rule:
        toy.OldProfile.objects.filter(owner__in=keys[5:]).update(level=F("level") + F("owner_id") % 7)
        assert finds(rule) == {}
        assert len(set(lefts("level"))) > 1


def test_a_change_leaves_a_conflict_in_other_fields_alone():
    key = make_pair({"city": "Rome", "level": 1}, {"town": "Oslo", "level": 1})
    with mirrored() as rule:
        toy.Profile.objects.update(level=9)
        assert rights("town", "level") == [("Oslo", 9)]
        assert list(finds(rule)) == [key]


def test_a_row_of_defaults_does_not_overwrite_what_the_other_side_has():
    member = make_account()
    make_right(member, town="Oslo", level=50)
    with mirrored() as rule:
        make_left(member)
        assert rights("town", "level") == [("Oslo", 50)]
        assert list(finds(rule)) == [member.pk]


def test_a_row_without_counterpart_gets_one_when_it_is_changed():
    make_right(make_account(), town="Oslo")
    with mirrored():
        toy.OldProfile.objects.update(level=7)
        assert lefts("city", "level") == [("Oslo", 7)]


def test_what_changes_nothing_writes_nothing():
    make_pair()
    with mirrored():
        execute("CREATE TEMP TABLE seen AS SELECT ctid AS place FROM toy_oldprofile")
        toy.Profile.objects.update(city=F("city"))
        toy.Profile.objects.filter(pk=-1).update(level=3)
        execute("DO $$ BEGIN ASSERT (SELECT s.place = o.ctid FROM seen s, toy_oldprofile o); END $$")


def test_what_null_stands_for_arrives_where_null_is_refused():
    make_pair({"city": "Rome"}, {"town": "Rome"})
    with mirrored() as rule:
        toy.OldProfile.objects.update(town=None)
        assert lefts("city") == [("",)]
        assert rights("town") == [(None,)]
        assert finds(rule) == {}


def test_composite_keys_arrive_at_their_own_rows():
    rule = declared(
        Agrees, toy.Line, toy.OldLine, on=["order", "number"], fields={"quantity": "units"}, name="lines", enforce=True
    )
    with registered(rule):
        enforce([rule])
        toy.OldLine.objects.create(order="1", number="11", units=3)
        toy.Line.objects.filter(order="1").update(quantity=4)
        execute("UPDATE toy_line SET number = '12'")
        assert list(toy.OldLine.objects.values_list("order", "number", "units")) == [("1", "12", 4)]
        toy.Line.objects.all().delete()
        assert not toy.OldLine.objects.exists()


def test_a_copy_beside_the_triggers_ends_in_agreement():
    make_pair({"city": "A", "level": 9}, {"town": "B", "level": 3})
    make_right(make_account(), town="Oslo")
    make_left(make_account(), city="Rome")
    with mirrored() as rule:
        report = repaired(rule)
        assert (report.status, report.changes) == ("clean", 4)
        assert state(rule) == "guarded"
        assert enforce([rule]).rules[0].enforcement == "enforced"


def test_an_undo_that_the_triggers_would_carry_over_is_refused():
    make_right(make_account(), town="Oslo")
    with mirrored() as rule:
        run = repaired(rule).run
        with registered(rule):
            refused = undo(run)
            assert refused.status == "refused"
            assert "enforce toy.twins --remove" in refused.rules[0].error
            assert len(rights("id")) == 1
            enforce([rule], remove=True)
            assert undo(run).status == "clean"
    assert (len(lefts("id")), len(rights("id"))) == (0, 1)


def test_removal_leaves_nothing_behind():
    before = functions()
    with mirrored() as rule:
        assert state(rule) == "enforced"
        assert functions() > before
        enforce([rule], remove=True)
        assert state(rule) == "missing"
    assert functions() == before


def functions():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_proc WHERE proname LIKE 'pgtrigger_%'")
        return cursor.fetchone()[0]


def test_a_table_that_has_gone_by_design_is_retired():
    with registered(rule := agrees(while_exists=True)):
        execute("ALTER TABLE toy_oldprofile RENAME TO toy_gone")
        assert state(rule) == "retired"
        report = enforce([rule])
        assert (report.rules[0].status, report.exit_code) == ("retired", 0)
        make_left(make_account())
        with registered(rule):
            assert contents(toy.Profile)["toy_profile"]


def test_migrations_do_not_install_them(monkeypatch):
    from integrity.enforcement.declared import declare

    before = len(apps.get_model("toy", "Profile")._meta.triggers if hasattr(toy.Profile._meta, "triggers") else [])
    declare([agrees()])
    assert len(getattr(toy.Profile._meta, "triggers", [])) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"where": Q(level__gt=1)}, "where= speaks about some"),
        ({"fields": {"city": "town", "level": "level", "created_at": "created_at"}}, "would have no 'updated_at'"),
    ],
)
def test_what_cannot_be_mirrored_is_told(options, message):
    assert message in agrees(**options).check()[0].msg
