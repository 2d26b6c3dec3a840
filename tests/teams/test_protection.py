"""The protection of the import: set up, proved, looked at, restored; each does what it says and nothing else."""

import pytest

from integrity import watch
from integrity.models import Run, Severed
from teams.models import Poll, Team
from tests.command_line import manage
from tests.integrity.helpers import contents, execute
from tests.teams.factories import make_member, make_poll, make_team

pytestmark = pytest.mark.django_db
CONSTRAINT = "unique_team_club_series_league"


def enable(*words):
    return manage("enable_bulletproof_etl", *words)


def steps(done):
    return {step["what"]: step["done"] for step in done.json["steps"]}


def without_uniqueness():
    execute(
        "SET CONSTRAINTS ALL IMMEDIATE",
        f"ALTER TABLE teams_team DROP CONSTRAINT IF EXISTS {CONSTRAINT}",
        "DROP INDEX IF EXISTS teams_team_is_one_once",
    )


def structure():
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT conname, convalidated FROM pg_constraint UNION ALL SELECT tgname, true FROM pg_trigger")
        return sorted(cursor.fetchall())


def test_proving_alone_writes_nothing_and_says_what_is_missing():
    make_team()
    before = contents(), structure()
    done = enable("--test-only", "--format", "json")
    assert (done.code, (contents(), structure())) == (1, before)
    assert steps(done) == {
        "a team cannot be entered twice": True,
        "a team that somebody belongs to cannot be deleted": True,
        "a delete of a team that a poll points at is noted": False,
        "an import of what is there writes nothing": True,
    }
    assert not Severed.objects.exists()


def test_proving_finds_that_a_team_can_be_entered_twice():
    without_uniqueness()
    done = enable("--test-only", "--format", "json")
    assert (done.code, steps(done)["a team cannot be entered twice"]) == (1, False)
    assert not Team.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_setting_up_makes_what_is_missing_and_proves_it():
    make_team()
    without_uniqueness()
    before = contents()
    done = enable("--format", "json")
    assert all(steps(done).values()), done.json["steps"]
    assert done.code == 0
    assert watch.state(Team) == "watching"
    assert contents() == before
    assert enable("--test-only").code == 0
    watch.remove(watch.watched_models())


def test_looking_writes_to_no_table_that_it_looks_at_and_changes_no_structure():
    make_poll(make_member(), make_team())
    before = contents(), structure()
    enable("--health-check")
    assert (contents(), structure()) == before


@pytest.mark.django_db(transaction=True)
def test_an_emergency_relinks_what_evidence_leads_to_a_team_and_leaves_the_rest():
    team = make_team("Series 22")
    captain = make_member(team)
    poll = make_poll(captain, team, question="Series 22: who plays?")
    lost = make_poll(make_member(), None)
    Poll.objects.filter(pk=poll.pk).update(team_id=team.pk + 5000)
    Poll.objects.filter(pk=lost.pk).update(team_id=team.pk + 7777)
    done = enable("--emergency", "--format", "json")
    assert done.code == 1
    (step,) = [s for s in done.json["steps"] if s["what"] == "references to teams that are gone"]
    assert step["note"].endswith("1 relinked, 1 left for a person")
    poll.refresh_from_db()
    assert poll.team == team
    assert Run.objects.filter(verb="repair").exists()
    watch.remove(watch.watched_models())


def test_only_one_thing_can_be_asked_for():
    assert enable("--test-only", "--emergency").code == 2


# Health


def health(*words):
    return manage("integrity", "health", "teams", *words)


def checks(done):
    return {check["what"]: check for check in done.json["checks"]}


@pytest.fixture
def enabled():
    make_team()
    watch.install(watch.watched_models())


@pytest.mark.usefixtures("enabled")
def test_what_holds_is_healthy():
    done = health("--format", "json")
    assert (done.code, done.json["health"], done.json["status"], done.json["score"]) == (0, "healthy", "clean", 100.0)
    check = checks(done)["teams.team_is_one"]
    assert [check[part] for part in ("severity", "status", "found", "of", "app")] == ["error", "healthy", 0, 1, "teams"]


@pytest.mark.usefixtures("enabled")
def test_orphans_degrade_it_with_denominator_and_trend():
    team = Team.objects.get()
    make_poll(make_member(), team)
    poll = make_poll(make_member(), team)
    health()
    Poll.objects.filter(pk=poll.pk).update(team_id=team.pk + 1)
    done = health("--format", "json")
    found = checks(done)["teams.poll_has_its_team"]
    assert (done.code, done.json["health"]) == (1, "degraded")
    assert (found["found"], found["of"], found["trend"][-1]) == (1, 2, 0)
    assert done.json["score"] < 100
    assert "1 of 2" in health().words
    assert "an error weighs 10" in health().words


@pytest.mark.usefixtures("enabled")
def test_a_missing_constraint_degrades_it():
    without_uniqueness()
    done = health("--format", "json")
    assert done.code == 1
    lacking = checks(done)["constraints that imports of teams stand on"]
    assert (lacking["found"], lacking["severity"]) == (1, "error")
    assert CONSTRAINT in lacking["note"]


@pytest.mark.usefixtures("enabled")
def test_what_cannot_be_looked_at_is_never_healthy():
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE teams_poll RENAME TO teams_poll_away")
    done = health("--format", "json")
    execute("ALTER TABLE teams_poll_away RENAME TO teams_poll")
    assert (done.code, done.json["health"], done.json["status"]) == (3, "not checked", "partial")
    assert checks(done)["teams.poll_has_its_team"]["found"] is None


@pytest.mark.usefixtures("enabled")
def test_a_failed_import_degrades_it(tmp_path):
    assert manage("import_teams", tmp_path).code == 2
    for name in ("leagues", "clubs", "series", "teams"):
        (tmp_path / f"{name}.json").write_text("[")
    assert manage("import_teams", tmp_path).code == 3
    done = health("--format", "json")
    assert done.code == 1
    assert "refused" in checks(done)["last import of teams.nightly"]["note"]


@pytest.mark.usefixtures("enabled")
def test_check_health_is_the_same():
    assert manage("check_health", "teams").code == 0
    assert manage("check_health", "teams", "--format", "csv").out.startswith("what,severity,status")


@pytest.mark.usefixtures("enabled")
def test_deletes_that_severed_references_are_told():
    team = Team.objects.get()
    make_poll(make_member(), team)
    execute("SET LOCAL application_name = 'old job'", f"DELETE FROM teams_team WHERE id = {team.pk}")
    assert "delete of 1 rows of teams_team by" in health().words
    assert "(old job)" in health().words
