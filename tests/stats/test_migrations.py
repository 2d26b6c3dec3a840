"""The migrations on a database with rows: forwards to the end, backwards to the start, and every step between."""

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection

from integrity.models import Run
from stats.steps import NotConsolidated
from tests.integrity.helpers import execute
from tests.stats.worlds import (
    CURRENT,
    LEGACY,
    NEW,
    OLD,
    RETIRED,
    at,
    bytes_of,
    has_triggers,
    make_users,
    migrate,
    put,
    rows,
    tables,
    value,
)

pytestmark = pytest.mark.django_db(transaction=True)


def legacy_rows(number):
    make_users(number)
    for user in range(1, number + 1):
        put(LEGACY, user, strength=user, created=OLD, updated=NEW)


def test_rows_survive_every_step_forwards_and_backwards():
    with at("start"):
        legacy_rows(5)
        start = bytes_of(LEGACY)
        migrate("before copy")
        assert bytes_of(CURRENT) == []
        migrate("copied")
        assert rows(CURRENT) == rows(LEGACY)
        migrate("pointed")
        assert rows(CURRENT) == rows(LEGACY)
        migrate("end")
        assert LEGACY not in tables()
        kept = rows(CURRENT)
        assert value(CURRENT, 3, "created_at") == OLD
        assert value(CURRENT, 3, "updated_at") == NEW
        assert bytes_of(RETIRED) == start

        migrate("pointed")
        assert bytes_of(LEGACY) == start
        assert rows(CURRENT) == kept
        assert RETIRED not in tables()
        migrate("copied")
        assert rows(CURRENT) == kept
        migrate("before copy")
        assert bytes_of(CURRENT) == []
        migrate("start")
        assert CURRENT not in tables()
        assert bytes_of(LEGACY) == start


def test_a_fresh_database_passes_all_of_them_and_records_no_run():
    with at("start"):
        migrate("end")
        assert not Run.objects.exists()
        assert LEGACY not in tables()
        migrate("start")
        assert bytes_of(LEGACY) == []
        assert not Run.objects.exists()


def test_copying_twice_changes_nothing():
    with at("before copy"):
        legacy_rows(3)
        migrate("copied")
        once = bytes_of(CURRENT)
        migrate("before copy")
        migrate("copied")
        assert rows(CURRENT) == rows(LEGACY)
        assert len(once) == 3


def test_a_conflict_goes_to_the_newest_row_and_both_values_are_journaled():
    with at("before copy"):
        make_users(2)
        put(LEGACY, 1, strength=20, updated=OLD)
        put(CURRENT, 1, strength=30, updated=NEW)
        put(LEGACY, 2, strength=40, updated=NEW)
        put(CURRENT, 2, strength=50, updated=OLD)
        before = bytes_of(LEGACY), bytes_of(CURRENT)
        migrate("copied")
        assert value(CURRENT, 1, "strength") == value(LEGACY, 1, "strength") == 30
        assert value(CURRENT, 2, "strength") == value(LEGACY, 2, "strength") == 40
        (run,) = Run.objects.filter(verb="repair", changes__isnull=False).distinct()
        journaled = {(c.before["strength"], c.after["strength"]) for c in run.changes.all()}
        assert journaled == {("20", "30"), ("50", "40")}
        migrate("before copy")
        assert (bytes_of(LEGACY), bytes_of(CURRENT)) == before
        with pytest.raises(NotConsolidated, match="user 1: strength 30 in stats_corestat, 20 in core_stats_corestat"):
            migrate("start")
        assert (bytes_of(LEGACY), bytes_of(CURRENT)) == before


def test_a_wrong_level_of_the_old_table_is_put_right_on_the_way_and_wrong_again_on_the_way_back():
    with at("before copy"):
        make_users(1)
        put(LEGACY, 1, experience_points=5000, level=1)
        before = bytes_of(LEGACY)
        migrate("copied")
        assert value(CURRENT, 1, "level") == value(LEGACY, 1, "level") == 6
        migrate("before copy")
        assert bytes_of(LEGACY) == before


def test_a_row_that_cannot_come_over_stops_the_migration_with_its_reason():
    with at("before copy"):
        legacy_rows(2)
        execute(f"UPDATE {LEGACY} SET wisdom = 101 WHERE user_id = 2")
        with pytest.raises(NotConsolidated, match=r"user 2: .*stats_stats_in_range_holds"):
            migrate("copied")
        execute(f"UPDATE {LEGACY} SET wisdom = 100 WHERE user_id = 2")
        migrate("copied")
        assert rows(CURRENT) == rows(LEGACY)


def test_the_end_is_refused_with_a_report_by_field_and_changes_nothing():
    with at("before copy"):
        legacy_rows(3)
        migrate("pointed")
        execute(
            f"ALTER TABLE {CURRENT} DISABLE TRIGGER USER",
            f"UPDATE {CURRENT} SET strength = 99 WHERE user_id = 2",
            f"DELETE FROM {CURRENT} WHERE user_id = 3",
        )
        make_more = "user 2: strength 99 in stats_corestat, 2 in core_stats_corestat"
        with pytest.raises(NotConsolidated, match=make_more) as refused:
            migrate("end")
        assert "user 3: only in core_stats_corestat, not in stats_corestat" in str(refused.value)
        assert "1 identical, 1 modified, 0 only left, 1 only right" in str(refused.value)
        assert LEGACY in tables()
        assert RETIRED not in tables()
        execute(f"ALTER TABLE {CURRENT} ENABLE TRIGGER USER")


def test_an_error_in_the_proof_is_not_swallowed():
    with at("before copy"):
        legacy_rows(1)
        migrate("pointed")
        execute(f"ALTER TABLE {LEGACY} RENAME COLUMN wisdom TO lost")
        with pytest.raises(Exception, match="wisdom"):
            migrate("end")
        execute(f"ALTER TABLE {LEGACY} RENAME COLUMN lost TO wisdom")
        assert LEGACY in tables()


def test_what_is_written_between_the_steps_stands_in_both_tables():
    with at("before copy"):
        legacy_rows(3)
        migrate("copied")
        execute(f"UPDATE {LEGACY} SET strength = 77 WHERE user_id = 1")
        execute(f"UPDATE {CURRENT} SET experience_points = 9000 WHERE user_id = 2")
        assert value(LEGACY, 2, "level") == value(CURRENT, 2, "level") == 10
        migrate("end")
        assert value(CURRENT, 1, "strength") == 77
        execute(f"UPDATE {CURRENT} SET strength = 5 WHERE user_id = 3")
        migrate("pointed")
        assert value(LEGACY, 3, "strength") == 3
        assert has_triggers()
        migrate("before copy")
        assert value(LEGACY, 1, "strength") == value(CURRENT, 1, "strength") == 77
        assert not has_triggers()


def test_a_user_can_be_deleted_at_every_step():
    with at("before copy"):
        legacy_rows(4)
        for number, step in enumerate(("before copy", "copied", "pointed", "end"), 1):
            migrate(step)
            get_user_model().objects.get(pk=number).delete()
            assert number not in rows(CURRENT)
        assert list(rows(CURRENT)) == []


def test_both_accessors_of_a_user_work_beside_each_other():
    with at("before copy"):
        legacy_rows(1)
        migrate("copied")
        user = get_user_model().objects.get(pk=1)
        assert user.core_stats.strength == user.consolidated_core_stats.strength == 1
        migrate("end")
        migrate("copied")
        user = get_user_model().objects.get(pk=1)
        assert user.core_stats.strength == user.consolidated_core_stats.strength == 1


def test_the_drop_hangs_on_the_copy_and_on_the_references_in_the_graph():
    from django.db.migrations.loader import MigrationLoader

    graph = MigrationLoader(connection).graph
    plan = graph.forwards_plan(("core_stats", "0002_deprecate_core_stats"))
    assert ("stats", "0003_consolidate_core_stats_data") in plan
    assert ("stats", "0004_remove_old_core_stats_references") in plan


def test_what_the_command_has_finished_the_migrations_find_done():
    from stats.phases import perform

    with at("before copy"):
        legacy_rows(3)
        for phase in ("copy", "references", "cleanup"):
            assert perform(phase).exit_code == 0
        kept = rows(CURRENT), bytes_of(RETIRED)
        migrate("end")
        assert (rows(CURRENT), bytes_of(RETIRED)) == kept
        migrate("pointed")
        assert rows(LEGACY) == rows(CURRENT)


def test_permissions_and_content_types_of_the_old_app_follow_and_come_back():
    with at("before copy"):
        legacy_rows(2)
        types = ContentType.objects
        old = types.create(app_label="core_stats", model="corestat")
        grant = Permission.objects.create(content_type=old, codename="change_corestat", name="Can change core stat")
        user = get_user_model().objects.get(pk=1)
        user.user_permissions.add(grant)
        entry = LogEntry.objects.create(
            user=user, content_type=old, object_id=str(value(LEGACY, 2, "id")), object_repr="", action_flag=2
        )
        migrate("end")
        assert get_user_model().objects.get(pk=1).has_perm("stats.change_corestat")
        assert not Permission.objects.filter(content_type__app_label="core_stats").exists()
        entry.refresh_from_db()
        assert entry.content_type.app_label == "stats"
        assert entry.object_id == str(value(CURRENT, 2, "id"))
        migrate("copied")
        entry.refresh_from_db()
        assert (entry.content_type_id, entry.object_id) == (old.pk, str(value(LEGACY, 2, "id")))
        assert list(get_user_model().objects.get(pk=1).user_permissions.all()) == [grant]


def test_the_content_type_of_a_table_that_has_gone_is_not_left_behind():
    ContentType.objects.get_or_create(app_label="core_stats", model="legacycorestat")
    call_command("migrate", verbosity=0)
    assert not ContentType.objects.filter(app_label="core_stats").exists()
