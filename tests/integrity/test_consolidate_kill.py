"""SIGKILL at every named step of a consolidation: what was done stays whole, and the same call ends what was begun."""

from pathlib import Path

import pytest

from integrity.consolidate import STEPS
from integrity.models import Change, Result, Run
from tests.integrity import worlds
from tests.integrity.helpers import contents, execute
from tests.integrity.test_consolidate import contents_of, definitions, query
from tests.integrity.worlds import SMALL, WORLDS
from tests.toy import models as toy

pytestmark = pytest.mark.django_db(transaction=True)

CHILDREN = ("toy_first", "toy_second")
RETIRED = "toy_oldprofile_retired"


@pytest.fixture(autouse=True)
def twins(settings):
    """Both tables agree, and two tables refer to the one that is to go."""
    settings.INTEGRITY = SMALL
    for model in (Change, Result, Run):
        model._base_manager.all().delete()
    WORLDS["twins"].make()
    assert worlds.perform("twins").status == "clean"
    for table in CHILDREN:
        execute(
            f"CREATE TABLE {table} (id serial PRIMARY KEY, profile_id bigint REFERENCES toy_oldprofile)",
            f"INSERT INTO {table} (profile_id) SELECT id FROM toy_oldprofile",
        )
    yield
    execute(*(f"DROP TABLE {table}" for table in CHILDREN))
    execute(f"ALTER TABLE IF EXISTS {RETIRED} RENAME TO toy_oldprofile")


def everything():
    """Every byte, and where the foreign keys lead."""
    tables = [toy.Profile, *([toy.OldProfile] if has_old() else [])]
    return contents(*tables), [(contents_of(table), definitions(table)) for table in CHILDREN]


def has_old():
    return query("SELECT to_regclass('toy_oldprofile') IS NOT NULL")[0][0]


def killed(processes, phase, step, time=1, world="twins"):
    assert processes.start(world, phase, at=step, time=time, act="die", settings=SMALL).result() == {}


def test_no_named_step_is_left_out():
    assert [step for step in STEPS if f'"{step}"' not in Path(__file__).read_text()] == []


@pytest.mark.parametrize(("step", "time"), [("pointed", 1), ("pointed", 2), ("pointed", 3)])
def test_killed_references_are_gone_on_with_and_find_their_way_back(step, time, processes):
    before = everything()
    killed(processes, "references", step, time)
    # A foreign key refers to one table or to the other one, with all its rows.
    assert sum("toy_profile" in definitions(table)[0] for table in CHILDREN) == time - 1
    report = worlds.perform("twins", "references")
    assert (report.status, report.resumed) == ("clean", True)
    assert all("toy_profile" in definitions(table)[0] for table in CHILDREN)
    killed(processes, "rollback", "pointed", 2)
    assert worlds.perform("twins", "rollback").status == "clean"
    assert everything() == before


@pytest.mark.parametrize("step", ["proven", "retired"])
def test_a_killed_cleanup_leaves_the_table_and_is_done_again(step, processes):
    worlds.perform("twins", "references")
    before = everything()
    killed(processes, "cleanup", step)
    assert everything() == before
    report = worlds.perform("twins", "cleanup")
    assert (report.status, report.resumed) == ("clean", True)
    assert not has_old()
    kept = contents_of(RETIRED)
    killed(processes, "rollback", "back")
    assert not has_old()
    assert contents_of(RETIRED) == kept
    assert worlds.perform("twins", "rollback").status == "clean"
    assert everything() == before


def test_a_table_that_was_put_aside_before_the_end_is_let_go_of_what_it_refers_to_by_the_next_call(processes):
    worlds.perform("twins", "references")
    before = everything()
    killed(processes, "cleanup", "let go")
    assert not has_old()
    assert definitions(RETIRED) != []
    report = worlds.perform("twins", "cleanup")
    assert (report.status, report.resumed) == ("clean", True)
    assert definitions(RETIRED) == []
    assert worlds.perform("twins", "rollback").status == "clean"
    assert everything() == before


def triggers():
    return query("SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'pgtrigger_toy_mirrored_twins%'")[0][0]


def test_a_copy_that_was_killed_between_its_triggers_and_its_rows_goes_on_and_finds_its_way_back(processes):
    execute("UPDATE toy_oldprofile SET town = 'elsewhere', updated_at = now() WHERE owner_id > 8")
    before = everything()
    killed(processes, "copy", "guarded", world="mirrored twins")
    assert (everything(), triggers()) == (before, 6)
    report = worlds.perform("mirrored twins", "copy")
    assert (report.status, report.changes) == ("clean", 3)
    killed(processes, "rollback", "unguarded", world="mirrored twins")
    assert triggers() == 0
    assert worlds.perform("mirrored twins", "rollback").status == "clean"
    assert everything() == before
