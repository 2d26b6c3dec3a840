"""``consolidate_core_stats``: each phase, its report, its exit code, and the way back."""

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrity.models import Run
from tests.command_line import manage, on_screen
from tests.integrity.helpers import execute
from tests.stats.worlds import (
    CURRENT,
    LEGACY,
    NEW,
    OLD,
    RETIRED,
    bytes_of,
    has_triggers,
    make_users,
    put,
    rows,
    tables,
    value,
)

pytestmark = pytest.mark.usefixtures("both")


def phase(name, *words, code=0):
    done = manage("consolidate_core_stats", "--phase", name, "--format", "json", *words)
    assert done.code == code, done.out + done.err
    return done.json


def world():
    """One of each: identical, modified with either side newer, only old, only new."""
    make_users(5)
    for table in (LEGACY, CURRENT):
        put(table, 1)
    put(LEGACY, 2, strength=20, updated=NEW)
    put(CURRENT, 2, strength=30, updated=OLD)
    put(LEGACY, 3, wisdom=40, updated=OLD)
    put(CURRENT, 3, wisdom=50, updated=NEW)
    put(LEGACY, 4, created=OLD, updated=NEW)
    put(CURRENT, 5)


def settle():
    # What a test's transaction still has to check would keep tables from being altered.
    execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_help_shows_an_example():
    done = manage("consolidate_core_stats", "--help")
    assert (done.code, "Example: manage.py consolidate_core_stats --phase copy" in done.words) == (0, True)


def test_verify_tells_every_difference_by_field_with_both_values():
    world()
    report = phase("verify", code=1)["rules"][0]
    assert report["counts"] == {"identical": 1, "modified": 2, "only_left": 1, "only_right": 1}
    assert (report["checked"], report["violations"]) == (5, 4)
    two = next(found for found in report["sample"] if found["key"] == {"user": 2})
    assert two["actual"]["strength"] == 30
    assert two["expected"]["strength"] == 20
    assert two["evidence"] == {"found": "modified", "fields": "strength, updated_at"}
    assert report["notes"] == ["No reader has needed the old table."]


def test_a_copy_ends_in_agreement_and_a_second_one_writes_nothing():
    world()
    settle()
    report = phase("copy")
    assert report["changes"] == 4
    assert report["rules"][-1]["counts"] == {"identical": 5, "modified": 0, "only_left": 0, "only_right": 0}
    assert rows(LEGACY) == rows(CURRENT)
    assert has_triggers()
    assert phase("copy")["changes"] == 0
    assert phase("verify")["status"] == "clean"


@pytest.mark.parametrize(
    ("prefer", "strength", "wisdom"),
    [("newest", 20, 50), ("legacy", 20, 40), ("current", 30, 50), ("highest", 30, 50)],
)
def test_a_conflict_goes_the_preferred_way(prefer, strength, wisdom):
    world()
    settle()
    phase("copy", "--prefer", prefer)
    assert value(CURRENT, 2, "strength") == value(LEGACY, 2, "strength") == strength
    assert value(CURRENT, 3, "wisdom") == value(LEGACY, 3, "wisdom") == wisdom


def test_a_copy_keeps_both_times_to_the_microsecond():
    world()
    settle()
    phase("copy")
    assert (value(CURRENT, 4, "created_at"), value(CURRENT, 4, "updated_at")) == (OLD, NEW)


def test_a_dry_run_shows_conflicts_with_both_values_and_writes_nothing():
    world()
    settle()
    before = bytes_of(LEGACY), bytes_of(CURRENT)
    report = phase("copy", "--dry-run", code=1)
    updates = [c for c in report["rules"][-1]["planned"] if c["op"] == "update"]
    assert {(c["table"], c["old"]["strength"], c["new"]["strength"]) for c in updates} == {
        (CURRENT, 30, 20),
        (LEGACY, 10, 10),
    }
    assert (bytes_of(LEGACY), bytes_of(CURRENT)) == before
    assert not has_triggers()


def test_all_phases_and_all_the_way_back():
    world()
    ContentType.objects.get_or_create(app_label="core_stats", model="corestat")
    settle()
    before = bytes_of(LEGACY), bytes_of(CURRENT)
    phase("copy")
    agreed = bytes_of(LEGACY)
    phase("verify")
    phase("references")
    settle()
    done = phase("cleanup", "--yes")
    assert "are kept in core_stats_corestat_retired" in done["rules"][0]["notes"][0]
    assert LEGACY not in tables()
    assert bytes_of(RETIRED) == agreed
    assert phase("verify")["rules"][0]["status"] == "retired"

    assert phase("rollback")["rules"][0]["counts"]["identical"] == 5
    assert bytes_of(LEGACY) == agreed
    assert has_triggers()
    assert not ContentType.objects.filter(app_label="core_stats").exists()
    phase("rollback")
    assert ContentType.objects.filter(app_label="core_stats").exists()
    settle()
    phase("rollback")
    assert (bytes_of(LEGACY), bytes_of(CURRENT)) == before
    assert not has_triggers()
    nothing = phase("rollback", code=2)
    assert "There is nothing to take back" in nothing["error"]


def test_cleanup_is_refused_while_a_field_differs_and_says_which():
    world()
    settle()
    phase("copy")
    execute(f"ALTER TABLE {CURRENT} DISABLE TRIGGER USER", f"UPDATE {CURRENT} SET agility = 11 WHERE user_id = 5")
    refused = phase("cleanup", "--yes", code=3)
    assert refused["rules"][0]["status"] == "refused"
    assert refused["rules"][0]["notes"] == ["user 5: agility 11 in stats_corestat, 10 in core_stats_corestat"]
    assert "4 identical, 1 modified" in refused["rules"][0]["error"]
    assert LEGACY in tables()
    assert RETIRED not in tables()


def test_equal_counts_do_not_hide_a_row_that_is_missing_on_each_side():
    world()
    settle()
    phase("copy")
    execute(
        *(f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in (LEGACY, CURRENT)),
        f"DELETE FROM {LEGACY} WHERE user_id = 1",
        f"DELETE FROM {CURRENT} WHERE user_id = 5",
    )
    assert len(rows(LEGACY)) == len(rows(CURRENT))
    refused = phase("cleanup", "--yes", code=3)["rules"][0]
    assert "3 identical, 0 modified, 1 only left, 1 only right" in refused["error"]
    assert LEGACY in tables()


def test_cleanup_off_a_terminal_needs_yes():
    done = phase("cleanup", code=2)
    assert "puts the table core_stats_corestat aside" in done["error"]


def test_a_dry_run_of_cleanup_proves_and_keeps_the_table():
    world()
    settle()
    phase("copy")
    assert phase("cleanup", "--dry-run", code=1)["changes"] == 5
    assert LEGACY in tables()


def test_what_was_written_after_cleanup_is_kept_by_a_rollback_and_told():
    world()
    settle()
    phase("copy")
    phase("cleanup", "--yes")
    execute(f"UPDATE {CURRENT} SET strength = 99 WHERE user_id = 1")
    back = phase("rollback", code=1)["rules"][0]
    assert back["counts"]["modified"] == 1
    assert any("--phase copy brings it over" in note for note in back["notes"])
    assert (value(LEGACY, 1, "strength"), value(CURRENT, 1, "strength")) == (10, 99)


def test_a_row_deleted_after_cleanup_is_back_in_the_old_table_and_told():
    world()
    settle()
    phase("copy")
    phase("cleanup", "--yes")
    execute(f"DELETE FROM {CURRENT} WHERE user_id = 5")
    back = phase("rollback", code=1)["rules"][0]
    assert back["notes"][1].startswith("Deleted from stats_corestat since, and back in core_stats_corestat: 1 row. ")
    assert 5 in rows(LEGACY)


def test_a_user_deleted_after_cleanup_is_not_brought_back():
    world()
    settle()
    phase("copy")
    phase("cleanup", "--yes")
    execute(f"DELETE FROM {CURRENT} WHERE user_id = 5", "DELETE FROM auth_user WHERE id = 5")
    back = phase("rollback")["rules"][0]
    assert any(note.startswith("Not back: 1 row ") for note in back["notes"])
    assert 5 not in rows(LEGACY)


def test_the_number_of_statements_does_not_grow_with_the_users():
    def statements(users):
        make_users(users)
        for user in range(1, users + 1):
            put(LEGACY, user)
        settle()
        with CaptureQueriesContext(connection) as seen:
            phase("copy")
            phase("verify")
        phase("rollback")
        execute(f"DELETE FROM {LEGACY}", "DELETE FROM stats_stathistory", "DELETE FROM auth_user")
        return len(seen)

    # A run that lasts longer may sign its heartbeat once or twice more.
    assert statements(60) <= statements(6) + 5


def test_the_tables_live_in_the_database_of_the_project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    world()
    settle()
    phase("copy")
    assert list(tmp_path.iterdir()) == []
    assert Run.objects.latest("id").database == "default"


def test_people_see_a_table_and_are_asked():
    world()
    settle()
    done = on_screen("consolidate_core_stats", "--phase", "copy", answer="n\n", columns=160)
    assert "Nothing was written" in done.words
    done = on_screen("consolidate_core_stats", "--phase", "copy", answer="y\n", columns=160)
    assert "stats.core_stats_agree: 5 identical, 0 modified, 0 only left, 0 only right" in done.words
    done = on_screen("consolidate_core_stats", "--phase", "cleanup", answer="y\n", columns=160)
    assert "The phase cleanup is done." in done.words
    for _ in ("cleanup", "copy"):
        assert on_screen("consolidate_core_stats", "--phase", "rollback", answer="y\n", columns=160).code == 0
        settle()
    assert not has_triggers()


def test_the_engine_s_own_verb_does_the_same_for_any_rule():
    world()
    settle()
    done = manage("integrity", "consolidate", "stats.core_stats_agree", "--phase", "copy", "--format", "json")
    assert (done.code, "choose one with --strategy" in done.json["error"]) == (2, True)
    done = manage(
        *("integrity", "consolidate", "stats.core_stats_agree", "--phase", "copy", "--strategy", "newest"),
        *("--format", "json"),
    )
    assert done.json["rules"][0]["counts"]["identical"] == 5
    done = manage("integrity", "consolidate", "players.mileage_adds_up", "--phase", "verify", "--format", "json")
    assert "only the two tables of Agrees" in done.json["error"]
