"""References follow the rows from one table to the other, whatever kind they are, and find their way back."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection

from integrity import Agrees, Copy
from integrity.consolidate import consolidate
from integrity.exceptions import UsageError
from tests.integrity.helpers import contents, declared, execute, registered
from tests.integrity.test_agrees import make_pair, make_right
from tests.integrity.test_derived import make_account
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

FIELDS = {"city": "town", "level": "level"}
CHILDREN = """
    CREATE TABLE toy_child (
        id serial PRIMARY KEY,
        profile_id bigint REFERENCES toy_oldprofile ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED
    )
"""
TWINS = "CREATE TABLE toy_one (profile_id bigint UNIQUE NOT NULL REFERENCES toy_oldprofile, text varchar DEFAULT '')"
BY_KEY = "CREATE TABLE toy_by_key (owner_id bigint REFERENCES toy_oldprofile (owner_id) ON DELETE RESTRICT)"


@pytest.fixture
def rule():
    made = declared(
        Agrees,
        toy.Profile,
        toy.OldProfile,
        on={"member": "owner"},
        fields=FIELDS,
        name="twins",
        repairs={"copy": Copy("right")},
    )
    with registered(made):
        yield made


def settle():
    execute("SET CONSTRAINTS ALL IMMEDIATE")


def pairs(number):
    """Counterparts whose numbers differ, so that those of one table mean somebody else in the other one."""
    execute("SELECT setval(pg_get_serial_sequence('toy_profile', 'id'), 1, false)")
    members = [make_account() for _ in range(number)]
    for member in members:
        toy.Profile.objects.create(member=member)
    for member in reversed(members):
        make_right(member)
    execute(
        "UPDATE toy_oldprofile SET id = -id",
        f"UPDATE toy_oldprofile SET id = {number + 1} - p.id FROM toy_profile AS p WHERE p.member_id = owner_id",
    )
    settle()


def query(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def definitions(table):
    return [
        text
        for (text,) in query(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint"
            f" WHERE conrelid = '{table}'::regclass AND contype = 'f'"
        )
    ]


OLD_OWNERS = "SELECT c.profile_id, o.owner_id FROM {} AS c JOIN toy_oldprofile AS o ON o.id = c.profile_id ORDER BY 2"
NEW_OWNERS = "SELECT c.profile_id, o.member_id FROM {} AS c JOIN toy_profile AS o ON o.id = c.profile_id ORDER BY 2"


@pytest.mark.parametrize(("table", "create"), [("toy_child", CHILDREN), ("toy_one", TWINS)])
def test_foreign_keys_that_no_model_declares_are_found_and_pointed_there_and_back(rule, table, create):
    pairs(4)
    execute(create, f"INSERT INTO {table} (profile_id) SELECT id FROM toy_oldprofile")
    settle()
    before, defined = contents_of(table), definitions(table)
    owners = [owner for _, owner in query(OLD_OWNERS.format(table))]
    report = consolidate(rule, "references")
    assert report.status == "clean"
    assert report.rules[0].notes == [f"{table}.profile_id refers to toy_profile: 4 rows pointed there."]
    assert [owner for _, owner in query(NEW_OWNERS.format(table))] == owners
    assert definitions(table) == [defined[0].replace("toy_oldprofile", "toy_profile")]
    assert consolidate(rule, "references").changes == 0
    assert consolidate(rule, "rollback").status == "clean"
    assert contents_of(table) == before
    assert definitions(table) == defined
    with pytest.raises(UsageError, match="nothing to take back"):
        consolidate(rule, "rollback")


def contents_of(table):
    return query(f"SELECT t::text FROM {table} AS t ORDER BY 1")


def test_a_foreign_key_to_the_key_of_the_pairs_keeps_its_values(rule):
    pairs(2)
    execute(BY_KEY, "INSERT INTO toy_by_key SELECT owner_id FROM toy_oldprofile")
    before = contents_of("toy_by_key")
    assert consolidate(rule, "references").status == "clean"
    assert contents_of("toy_by_key") == before
    assert definitions("toy_by_key") == ["FOREIGN KEY (owner_id) REFERENCES toy_profile(member_id) ON DELETE RESTRICT"]


def test_a_reference_to_a_row_without_counterpart_stops_the_phase(rule):
    lone = make_right(make_account())
    execute(CHILDREN, f"INSERT INTO toy_child (profile_id) VALUES ({lone.pk})")
    settle()
    report = consolidate(rule, "references")
    assert report.status == "refused"
    assert "1 rows of toy_child refer by profile_id" in report.rules[0].error
    assert "--phase copy" in report.rules[0].error
    assert "toy_oldprofile" in definitions("toy_child")[0]


def test_a_trigger_of_somebody_else_stops_the_phase(rule):
    make_pair()
    execute(
        CHILDREN,
        "INSERT INTO toy_child (profile_id) SELECT id FROM toy_oldprofile",
        "CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER noting BEFORE UPDATE ON toy_child FOR EACH ROW EXECUTE FUNCTION noted()",
    )
    settle()
    assert "would fire the trigger noting" in consolidate(rule, "references").rules[0].error


def test_generic_relations_and_the_log_of_the_administration_follow(rule):
    pairs(2)
    ann = get_user_model().objects.create_user("ann")
    old, new = (ContentType.objects.get_for_model(model) for model in (toy.OldProfile, toy.Profile))
    for row in toy.OldProfile.objects.all():
        toy.Tag.objects.create(content_type=old, object_id=str(row.pk), weight=row.owner_id)
        LogEntry.objects.create(user=ann, content_type=old, object_id=str(row.pk), object_repr="", action_flag=1)
    kept = toy.Tag.objects.create(content_type=ContentType.objects.get_for_model(toy.Account), object_id="1", weight=0)
    before = contents(toy.Tag, LogEntry, ContentType, Permission)
    report = consolidate(rule, "references")
    assert not report.rules[0].error, report.rules[0].error
    for row in toy.Profile.objects.all():
        tag = toy.Tag.objects.get(weight=row.member_id)
        assert (tag.content_type_id, tag.object_id) == (new.pk, str(row.pk))
        assert LogEntry.objects.filter(content_type=new, object_id=str(row.pk)).exists()
    kept.refresh_from_db()
    assert kept.object_id == "1"
    assert not ContentType.objects.filter(pk=old.pk).exists()
    consolidate(rule, "rollback")
    assert contents(toy.Tag, LogEntry, ContentType, Permission) == before


def test_who_could_do_something_with_the_old_model_can_do_it_with_the_new_one(rule):
    ann, bob = (get_user_model().objects.create_user(name) for name in ("ann", "bob"))
    group = Group.objects.create(name="editors")
    old, new = (Permission.objects.get(codename=f"change_{model}") for model in ("oldprofile", "profile"))
    custom = Permission.objects.create(codename="rename_oldprofile", name="Can rename", content_type=old.content_type)
    ann.user_permissions.add(old, new, custom)
    bob.user_permissions.add(old)
    group.permissions.add(old)
    before = contents(Permission, ContentType, get_user_model().user_permissions.through, Group.permissions.through)
    assert consolidate(rule, "references").status == "clean"
    assert list(bob.user_permissions.all()) == list(group.permissions.all()) == [new]
    assert set(ann.user_permissions.values_list("codename", flat=True)) == {"change_profile", "rename_profile"}
    assert not Permission.objects.filter(codename__endswith="oldprofile").exists()
    assert not ContentType.objects.filter(app_label="toy", model="oldprofile").exists()
    consolidate(rule, "rollback")
    after = contents(Permission, ContentType, get_user_model().user_permissions.through, Group.permissions.through)
    assert after == before


def test_a_dry_run_of_the_references_changes_nothing(rule):
    pairs(2)
    execute(CHILDREN, "INSERT INTO toy_child (profile_id) SELECT id FROM toy_oldprofile")
    settle()
    before, defined = contents_of("toy_child"), definitions("toy_child")
    report = consolidate(rule, "references", dry_run=True)
    assert (report.status, report.changes > 2) == ("violated", True)
    assert (contents_of("toy_child"), definitions("toy_child")) == (before, defined)
    assert ContentType.objects.filter(model="oldprofile").exists()


def test_the_table_is_not_put_aside_while_something_refers_to_it(rule):
    make_pair()
    execute(CHILDREN)
    settle()
    report = consolidate(rule, "cleanup")
    assert report.status == "refused"
    assert "toy_child.profile_id still refer to toy_oldprofile" in report.rules[0].error


def test_a_rule_of_another_kind_has_no_phases():
    from django.db.models import Q

    from integrity import Always

    with pytest.raises(UsageError, match="only the two tables of Agrees"):
        consolidate(declared(Always, toy.Profile, Q(level__gt=0)), "verify")


def test_an_unknown_phase_is_told(rule):
    with pytest.raises(UsageError, match="Unknown phase 'drop'"):
        consolidate(rule, "drop")


def test_an_entry_about_a_row_that_was_deleted_long_ago_keeps_its_content_type(rule):
    pairs(1)
    old = ContentType.objects.get_for_model(toy.OldProfile)
    toy.Tag.objects.create(content_type=old, object_id="999999", weight=0)
    assert consolidate(rule, "references").status == "clean"
    assert ContentType.objects.filter(pk=old.pk).exists()
    assert toy.Tag.objects.get().object_id == "999999"
    settle()
    assert consolidate(rule, "cleanup").status == "clean"
