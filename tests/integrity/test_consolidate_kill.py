"""SIGKILL at every named step of a consolidation: what was done stays whole, and the same call ends what was begun."""

import pytest

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


def killed(processes, phase, step, time=1):
    assert processes.start("twins", phase, at=step, time=time, act="die", settings=SMALL).result() == {}


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
