"""References as foreign keys, and as triggers where no foreign key can say it."""

from contextlib import contextmanager

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models import Q
from django.test.utils import isolate_apps

from integrity import Clear, References, Unique
from integrity.enforce import enforce
from integrity.enforcement.foreign_key_constraint import RuleForeignKey
from integrity.enforcement.states import found, state
from integrity.enforcement.unique_constraint import RuleUnique
from integrity.enforcement.ways import enforcement_of
from integrity.repair import repair
from integrity.undo import undo
from tests.command_line import manage, on_screen
from tests.integrity.helpers import contents, declared, execute, finds, registered
from tests.integrity.test_derived import make_account
from tests.toy import models as toy
from tests.toy.models import of_type

pytestmark = pytest.mark.django_db


@contextmanager
def leads(model, column, **options):
    """A rule that is to be enforced."""
    options = {"name": "leads"} | options
    rule = declared(References, model, column, enforce=True, **options)
    assert rule.check() == []
    with registered(rule):
        yield rule


def immediate(*statements):
    execute("SET CONSTRAINTS ALL IMMEDIATE", *statements)


def refused(*statements):
    """What the database says to a statement that it refuses."""
    with pytest.raises(IntegrityError) as error, transaction.atomic():
        immediate(*statements)
    return str(error.value)


# A plain number


@pytest.fixture
def number():
    with leads(toy.Club, "points", to=toy.Branch) as rule:
        yield rule


@pytest.fixture
def branch():
    return toy.Branch.objects.create(code="a")


def test_a_plain_number_becomes_a_foreign_key(number, branch):
    toy.Club.objects.create(points=branch.pk)
    assert state(number) == "missing"
    assert enforce([number]).rules[0].enforcement == "enforced"
    assert "toy_leads_leads" in refused("INSERT INTO toy_club (points) VALUES (-1)")
    assert "toy_leads_leads" in refused("DELETE FROM toy_branch")


def test_old_orphans_stay_listed_while_new_ones_are_refused(number, branch):
    orphan = toy.Club.objects.create(points=-1)
    report = enforce([number])
    assert (report.exit_code, report.rules[0].violations, state(number)) == (1, 1, "guarded")
    assert list(finds(number)) == [orphan.pk]
    refused("INSERT INTO toy_club (points) VALUES (-2)")
    toy.Club.objects.filter(pk=orphan.pk).update(points=branch.pk)
    immediate()
    assert enforce([number]).rules[0].enforcement == "enforced"


def test_it_is_taken_away_and_nothing_is_left(number):
    enforce([number])
    assert enforce([number], remove=True).exit_code == 0
    assert (state(number), enforce([number], remove=True).changes) == ("missing", 0)


def test_a_dry_run_adds_nothing(number):
    assert (enforce([number], dry_run=True).exit_code, state(number)) == (1, "missing")


def test_another_declaration_of_the_name_is_outdated_and_replaced(number):
    enforce([number])
    number.to = toy.Account
    assert state(number) == "outdated"
    assert enforce([number]).rules[0].enforcement == "enforced"


def test_triggers_that_are_switched_off_are_told_and_put_right(number):
    enforce([number])
    execute("ALTER TABLE toy_club DISABLE TRIGGER ALL")
    assert state(number) == "disabled"
    toy.Club.objects.create(points=-1)
    assert enforce([number]).rules[0].enforcement == "guarded"
    refused("INSERT INTO toy_club (points) VALUES (-2)")


def test_a_natural_key_becomes_a_foreign_key():
    columns = ["order", "number"]
    with leads(toy.Shipment, columns, to=toy.Line, on=columns) as rule:
        toy.Line.objects.create(order="1", number="11")
        toy.Shipment.objects.create(order="1", number="11", quantity=1)
        assert enforce([rule]).rules[0].enforcement == "enforced"
        refused("""INSERT INTO toy_shipment ("order", number, quantity) VALUES ('11', '1', 1)""")


def test_a_key_that_is_not_unique_is_told_when_django_starts():
    rule = declared(References, toy.Club, "points", to=toy.Account, on=["entry_count"], enforce=True)
    (problem,) = rule.check()
    assert ("does not declare entry_count as such" in problem.msg, "UniqueConstraint" in problem.hint) == (True, True)


def test_a_unique_index_that_is_not_there_is_told(number):
    with leads(toy.Shipment, "number", to=toy.Region, on=["code"], name="code") as rule:
        for key in ("toy_sale_region_id", "toy_region_code"):
            drop_constraints(key)
        report = enforce([rule]).rules[0]
    assert (report.status, "toy_region has no unique index on code" in report.error) == ("refused", True)


def drop_constraints(prefix):
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE conname LIKE %s", [f"{prefix}%"]
        )
        for table, constraint in cursor.fetchall():
            cursor.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{constraint}"')


# Foreign keys of Django


@pytest.fixture
def foreign():
    with leads(toy.Account, "branch", repairs={"clear": Clear()}) as rule:
        yield rule


def test_the_foreign_key_of_django_serves(foreign):
    assert enforce([foreign]).rules[0].enforcement == "enforced"
    assert found(foreign).why.startswith("by toy_account_branch_id_")
    removed = enforce([foreign], remove=True).rules[0]
    assert (removed.status, "db_constraint=False" in removed.error) == ("refused", True)


def test_one_that_was_dropped_is_made_again(foreign):
    drop_constraints("toy_account_branch_id")
    assert state(foreign) == "missing"
    enforce([foreign])
    assert found(foreign) == ("enforced", "")


def test_one_of_django_that_is_not_valid_is_validated(foreign):
    drop_constraints("toy_account_branch_id")
    execute(
        "ALTER TABLE toy_account ADD CONSTRAINT own FOREIGN KEY (branch_id) REFERENCES toy_branch NOT VALID",
    )
    assert found(foreign) == ("guarded", "by own")
    assert enforce([foreign]).rules[0].enforcement == "enforced"


def test_one_whose_triggers_are_switched_off_is_refused_with_the_way_out(foreign):
    execute("ALTER TABLE toy_account DISABLE TRIGGER ALL")
    report = enforce([foreign]).rules[0]
    assert (report.status, report.enforcement) == ("refused", "disabled")
    assert "ENABLE TRIGGER ALL" in report.error


def test_an_undo_that_would_bring_an_orphan_back_lists_it(foreign):
    make_account(branch=toy.Branch.objects.create(code="b"))
    drop_constraints("toy_account_branch_id")
    orphan = make_account()
    execute(f"UPDATE toy_account SET branch_id = -1 WHERE id = {orphan.pk}")
    done = repair([(foreign, "clear")])
    assert (done.status, enforce([foreign]).rules[0].enforcement) == ("clean", "enforced")
    before = contents(toy.Account)
    report = undo(done.run)
    assert (report.status, report.changes, len(report.rules[0].conflicts)) == ("partial", 0, 1)
    assert "toy_leads_leads" in report.rules[0].conflicts[0].why
    assert contents(toy.Account) == before


# Triggers


PAIR = {"to": [toy.Account, toy.Box]}
TAG = "INSERT INTO toy_tag (content_type_id, object_id, weight) VALUES ({}, '{}', 1)"


@pytest.fixture
def pair():
    with leads(toy.Tag, "target", repairs={}, **PAIR) as rule:
        assert enforce([rule]).rules[0].enforcement == "enforced"
        yield rule


@pytest.fixture
def agreeing():
    with leads(toy.Account, "branch", agreeing={"limit": "rate"}) as rule:
        assert enforce([rule]).rules[0].enforcement == "enforced"
        yield rule


def test_a_pair_leads_to_a_row_of_its_type(pair):
    account, box = make_account(), toy.Box.objects.create()
    for target in (account, box):
        toy.Tag.objects.create(target=target, weight=1)
    said = refused(TAG.format(of_type(toy.Account).pk, account.pk + 1))
    assert f"has content_type_id = {of_type(toy.Account).pk}, object_id = {account.pk + 1}" in said
    assert "no such row of toy_account or toy_box" in said
    assert "Write what it refers to first" in said
    refused(TAG.format(of_type(toy.Box).pk, account.pk))
    refused(TAG.format(of_type(toy.Branch).pk, account.pk))
    refused(TAG.format(of_type(toy.Account).pk, f"0{account.pk}"))
    refused(TAG.format(of_type(toy.Account).pk, "9" * 19))
    refused(f"UPDATE toy_tag SET object_id = '{account.pk + 1}' WHERE object_id = '{account.pk}'")
    assert finds(pair) == {}


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM toy_account WHERE id = {id}",
        "UPDATE toy_account SET id = -5 WHERE id = {id}",
        "TRUNCATE toy_account CASCADE",
    ],
)
def test_what_is_referred_to_stays(pair, statement):
    account, free = make_account(), make_account()
    tag = toy.Tag.objects.create(target=account, weight=1)
    said = refused(statement.format(id=account.pk))
    assert f"toy_tag id {tag.pk} has content_type_id = " in said
    assert "toy_account" in said
    immediate(
        f"UPDATE toy_account SET name = 'x' WHERE id = {account.pk}", f"DELETE FROM toy_account WHERE id = {free.pk}"
    )
    tag.delete()
    immediate(statement.format(id=account.pk))


def test_rows_that_refer_elsewhere_do_not_hold_a_row(pair):
    account, box = make_account(), toy.Box.objects.create()
    toy.Tag.objects.create(target=box, weight=1)
    immediate(f"DELETE FROM toy_account WHERE id = {account.pk}")


def test_both_sides_may_be_emptied_together(pair):
    toy.Tag.objects.create(target=make_account(), weight=1)
    immediate("TRUNCATE toy_account, toy_tag CASCADE")


def test_many_rows_at_once_are_looked_at(pair):
    accounts = [make_account() for _ in range(150)]
    toy.Tag.objects.bulk_create(toy.Tag(target=account, weight=1) for account in accounts)
    immediate()
    refused("UPDATE toy_tag SET object_id = object_id || '0'")
    refused("DELETE FROM toy_account")


def test_what_agrees_keeps_agreeing(agreeing):
    branch = toy.Branch.objects.create(code="a", rate=2)
    account = make_account(branch=branch, limit=2)
    immediate()
    refused(f'UPDATE toy_account SET "limit" = 3 WHERE id = {account.pk}')
    said = refused("UPDATE toy_branch SET rate = 3")
    assert "this changes a row of toy_branch" in said
    immediate("UPDATE toy_branch SET code = 'b'")
    assert finds(agreeing) == {}


def test_a_target_that_does_not_count_is_none():
    with leads(toy.Club, "points", to=toy.Account, among=Q(hidden=False)) as rule:
        shown, hidden = make_account(), make_account(hidden=True)
        toy.Club.objects.create(points=shown.pk)
        other = toy.Club.objects.create(points=hidden.pk)
        assert list(finds(rule)) == [other.pk]
        assert enforce([rule]).rules[0].enforcement == "guarded"
        other.delete()
        assert enforce([rule]).rules[0].enforcement == "enforced"
        refused(f"INSERT INTO toy_club (points) VALUES ({hidden.pk})")
        refused(f"UPDATE toy_account SET hidden = true WHERE id = {shown.pk}")


def test_rows_that_the_rule_does_not_speak_about_are_free():
    with leads(toy.Club, "points", to=toy.Account, where=Q(points__gt=0)) as rule:
        enforce([rule])
        toy.Club.objects.create(points=-1)
        refused("INSERT INTO toy_club (points) VALUES (77)")
        refused("UPDATE toy_club SET points = 77")


def test_text_may_refer_to_a_number():
    with leads(toy.Tag, "object_id", to=toy.Account) as rule:
        account = make_account()
        tag = toy.Tag.objects.create(target=account, weight=1)
        assert finds(rule) == {}
        assert enforce([rule]).rules[0].enforcement == "enforced"
        refused(f"UPDATE toy_tag SET object_id = '0{account.pk}'")
        refused("DELETE FROM toy_account")
        toy.Tag.objects.filter(pk=tag.pk)._raw_delete("default")
        immediate("DELETE FROM toy_account")


def test_a_number_may_refer_to_text():
    with leads(toy.Club, "points", to=toy.Region, on=["code"]) as rule:
        toy.Region.objects.create(code="7")
        club = toy.Club.objects.create(points=7)
        assert (finds(rule), enforce([rule]).rules[0].enforcement) == ({}, "enforced")
        refused("UPDATE toy_region SET code = '8'")
        refused(f"UPDATE toy_club SET points = 8 WHERE id = {club.pk}")


def test_a_row_may_refer_to_its_own_table():
    with leads(toy.Node, "own", to=toy.Node, among=Q(total=0)) as rule:
        assert state(rule) == "missing"
        enforce([rule])
        immediate("INSERT INTO toy_node (id, own, child_count, total) VALUES (5, 6, 0, 0), (6, 5, 0, 0)")
        refused("DELETE FROM toy_node WHERE id = 5")
        immediate("DELETE FROM toy_node")


def test_old_orphans_of_a_pair_do_not_stop_other_rows():
    with leads(toy.Tag, "target", **PAIR) as rule:
        account = make_account()
        orphan = toy.Tag.objects.create(content_type=of_type(toy.Account), object_id="-1", weight=1)
        report = enforce([rule]).rules[0]
        assert (report.enforcement, report.violations) == ("guarded", 1)
        toy.Tag.objects.filter(pk=orphan.pk).update(weight=2)
        immediate(f"DELETE FROM toy_account WHERE id = {account.pk}")
        refused(f"UPDATE toy_tag SET object_id = '-2' WHERE id = {orphan.pk}")
        orphan.delete()
        assert enforce([rule]).rules[0].enforcement == "enforced"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("ALTER TABLE toy_tag DISABLE TRIGGER USER", "disabled"),
        ("ALTER TABLE toy_box DISABLE TRIGGER USER", "disabled"),
        ("DROP TRIGGER {name} ON toy_account", "missing"),
        ("COMMENT ON TRIGGER {name} ON toy_account IS 'mine'", "outdated"),
    ],
)
def test_what_somebody_did_to_a_trigger_is_told_and_put_right(pair, change, told):
    (name,) = [name for name in enforcement_of(pair).trigger_names() if "lost_delete" in name and exists(name)]
    execute(change.format(name=name))
    assert state(pair) == told
    assert enforce([pair]).rules[0].enforcement == "enforced"
    assert enforce([pair], remove=True).exit_code == 0
    assert state(pair) == "missing"


def exists(name):
    with connection.cursor() as cursor:
        cursor.execute("SELECT FROM pg_trigger WHERE tgname = %s AND tgrelid = 'toy_account'::regclass", [name])
        return cursor.fetchone() is not None


def test_the_command_tells_what_is_there(pair):
    assert "enforcement: enforced" in manage("integrity", "rules", pair.label).out
    assert "Taken away: toy.leads." in manage("integrity", "enforce", pair.label, "--remove").out


def test_a_repair_points_on_what_refers_before_it_deletes_the_target(pair):
    first, second = (make_account(name="same") for _ in range(2))
    toy.Tag.objects.create(content_type=of_type(toy.Account), object_id=str(second.pk), weight=1)
    once = declared(Unique, toy.Account, by=["name"], keep="id", name="named_once")
    with registered(once):
        done = repair([(once, "keep_one")], max_affected="100%")
    # Tags are re-pointed, as the model declares them to be related.
    assert (done.status, finds(pair), toy.Tag.objects.get().object_id) == ("clean", {}, str(first.pk))


@pytest.mark.parametrize(
    ("arguments", "options", "told"),
    [
        ((toy.Tag, "target"), {}, "may refer to any model"),
        ((toy.Tag, "target"), PAIR | {"among": Q(hidden=False)}, "among= speaks about rows of one model"),
        ((toy.Tag, "object_id"), {"to": [toy.Account, toy.Box]}, "does not say which of them"),
        ((toy.Tag, "target"), PAIR | {"where": Q(content_type__model="x")}, "columns of its row alone"),
        ((toy.Club, "points"), {"to": toy.Employee, "on": ["name"]}, "stands in another table"),
        ((toy.Club, "points"), {"to": toy.Account, "among": Q(branch__code="a")}, "is not a column of toy.Account"),
    ],
)
def test_what_cannot_be_enforced_is_told_when_django_starts(arguments, options, told):
    problems = declared(References, *arguments, **options, enforce=True).check()
    assert [told in problem.msg for problem in problems] == [True]


# Migrations


def test_a_migration_adds_a_foreign_key_over_orphans_and_validates_it_on_an_empty_table(number):
    constraint = enforcement_of(number)._constraint()
    for rows, expected in ((0, "enforced"), (1, "guarded")):
        if rows:
            toy.Club.objects.create(points=-1)
        with connection.schema_editor() as editor:
            editor.add_constraint(toy.Club, constraint)
        assert state(number) == expected
        with connection.schema_editor() as editor:
            editor.remove_constraint(toy.Club, constraint)
        assert state(number) == "missing"


def test_a_table_that_no_migration_has_made_is_told():
    constraint = RuleForeignKey(table="toy_club", columns=["points"], to_table="gone", to_columns=["id"], name="x")
    missing = pytest.raises(Exception, match="refers to gone, which no migration has made yet")
    with missing, transaction.atomic(), connection.schema_editor(atomic=False) as editor:
        editor.add_constraint(toy.Club, constraint)


@isolate_apps("tests.toy")
def test_a_table_is_made_with_its_index_and_its_foreign_key():
    """The index first: the foreign key refers to it."""

    class Probe(models.Model):
        code = models.IntegerField()
        above = models.IntegerField()

        class Meta:
            app_label = "toy"
            constraints = [
                RuleUnique(fields=["code"], name="probe_once", nulls_distinct=False),
                RuleForeignKey(
                    table="toy_probe", columns=["above"], to_table="toy_probe", to_columns=["code"], name="probe_leads"
                ),
            ]

    with connection.schema_editor() as editor:
        editor.create_model(Probe)
    immediate("INSERT INTO toy_probe (code, above) VALUES (1, 1)")
    assert "probe_once" in refused("INSERT INTO toy_probe (code, above) VALUES (1, 1)")
    assert "probe_leads" in refused("INSERT INTO toy_probe (code, above) VALUES (2, 3)")
    assert [c.clone() for c in Probe._meta.constraints] == Probe._meta.constraints


def test_a_prompt_is_for_checks_alone(number):
    """Only a CHECK refuses what has nothing to do with it."""
    toy.Club.objects.create(points=-1)
    done = on_screen("integrity", "enforce", number.label)
    assert (done.code, state(number), "even where rows break them" in done.words) == (1, "guarded", False)


def test_what_a_migration_holds_is_what_is_declared(number):
    constraint = enforcement_of(number)._constraint()
    path, args, kwargs = constraint.deconstruct()
    assert path == "integrity.enforcement.foreign_key_constraint.RuleForeignKey"
    assert RuleForeignKey(*args, **kwargs) == constraint == constraint.clone()
