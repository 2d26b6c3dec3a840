"""The nightly import: whatever the provider does, what members wrote leads to the team that they meant."""

import json
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import connection
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from integrity.engine import analyze
from integrity.importing import run_import
from integrity.models import Change, Run
from integrity.registry import registry
from integrity.repair import repair
from integrity.undo import undo
from teams.feeds import nightly
from teams.models import CaptainMessage, Club, League, Poll, Team, TeamKey
from tests.command_line import manage
from tests.integrity.helpers import contents, execute
from tests.teams.factories import make_match, make_member, make_message, make_poll, make_practice_time, make_team
from tests.teams.nightly import Provider
from tests.teams.test_merge_teams import GUARD

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path):
    return sent(tmp_path)


def sent(path, *teams, clubs=("Tennaqua", "Glenbrook"), series=("Series 22", "Series 2B")):
    """A folder with the files of one night; two teams unless told."""
    teams = teams or (team(), team(series="Series 2B"))
    Provider.write(path, "leagues", [{"league_id": "APTA", "name": "APTA"}, {"league_id": "CITY", "name": "City"}])
    Provider.write(path, "clubs", [{"name": name} for name in clubs])
    Provider.write(path, "series", [{"name": name} for name in series])
    Provider.write(path, "teams", teams)
    return path


def team(club="Tennaqua", series="Series 22", league="APTA", **more):
    return {"club": club, "series": series, "league": league, "name": f"{club} {series}", **more}


# The story


class Members:
    """What members wrote, and which real team each of them meant."""

    def __init__(self, chance):
        self.chance = chance
        self.meant = []
        self.someone = make_member()

    def write(self, provider):
        for real in self.chance.sample(provider.teams, 3):
            found = number_of(real)
            if found is not None:
                row = self.chance.choice([make_poll, make_message])(self.someone, Team.objects.get(pk=found))
                self.meant.append((row, real))

    def assert_right(self, was):
        """Each row leads to the number that it was written with; that number still is the team that was meant."""
        for row, real in self.meant:
            row.refresh_from_db()
            assert row.team_id == was.setdefault(id(row), row.team_id)
            there = Team.objects.select_related("league", "club").get(pk=row.team_id)
            assert (there.league.league_id, there.club.name) == (real.league, real.club)
            known = set(TeamKey.objects.filter(team_id=row.team_id).values_list("series", flat=True))
            assert there.series.name in known


def number_of(real):
    key = {"league__league_id": real.league, "club__name": real.club, "series__name": real.series}
    return Team.objects.filter(**key).values_list("pk", flat=True).first()


def orphans():
    rules = [rule for rule in registry.select(["teams"]) if "orphans" in rule.tags]
    return sum(rule.violations for rule in analyze(rules).rules)


def who_is_who(history, real):
    """The numbers that a real team ever had."""
    return history.setdefault(id(real), set())


def ten_nights(seed):
    # What an earlier example has left: all of them run in one transaction.
    for model in (Poll, CaptainMessage, Team, TeamKey):
        model.objects.all().delete()
    chance = random.Random(seed)
    provider, members, was, history = Provider(chance), Members(chance), {}, {}
    with TemporaryDirectory() as path:
        for _ in range(10):
            report = run_import(nightly, provider.send(Path(path)))
            assert (report.status, report.error, report.rejects) == ("clean", "", [])
            assert orphans() == 0
            assert run_import(nightly, Path(path)).changes == 0
            for real in provider.teams:
                who_is_who(history, real).add(number_of(real))
            members.write(provider)
            members.assert_right(was)
            provider.night()
    # No number was ever two real teams.
    numbers = [number for numbers in history.values() for number in numbers]
    assert len(numbers) == len(set(numbers))


@settings(max_examples=1, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_ten_nights_of_a_provider_who_renumbers_renames_and_reorders_orphan_nobody(seed):
    ten_nights(seed)


@pytest.mark.soak
@settings(max_examples=50, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(min_value=0, max_value=2**32))
def test_many_times_ten_nights_orphan_nobody(seed):
    ten_nights(seed)


def test_a_team_that_is_renamed_keeps_its_number_and_its_polls(tmp_path):
    manage("import_teams", sent(tmp_path, team(id="1"), team(series="Series 2B", id="2")))
    meant = Team.objects.get(external_id="1")
    poll = make_poll(make_member(meant), meant)
    done = manage("import_teams", sent(tmp_path, team("Glenbrook", id="1"), team(series="Series 2B", id="2")))
    assert done.code == 0
    poll.refresh_from_db()
    assert (poll.team, poll.team.club.name) == (meant, "Glenbrook")


# The commands


def test_teams_are_imported_with_what_they_belong_to(folder):
    done = manage("import_teams", folder)
    assert (done.code, Team.objects.count()) == (0, 2)
    assert "teams.nightly.team clean 2 2 0 0 0 0" in done.words
    assert TeamKey.objects.count() == 2


def test_the_other_name_does_the_same(folder):
    assert manage("run_bulletproof_etl", folder, "--dry-run").code == 1
    assert not Team.objects.exists()
    assert manage("run_bulletproof_etl", folder).code == 0
    assert Team.objects.count() == 2


def test_a_dry_run_writes_nothing(folder):
    manage("import_teams", folder)
    sent(folder, team(alias="T"))
    before = contents()
    done = manage("import_teams", folder, "--dry-run", "--format", "json")
    assert (done.code, done.json["feeds"][-1]["updated"], done.json["feeds"][-1]["deactivated"]) == (1, 1, 1)
    assert contents() == before


def test_one_league_is_imported_alone(tmp_path):
    manage("import_teams", sent(tmp_path, team(), team(league="CITY"), team(league="CITY", series="Series 2B")))
    done = manage("import_teams", sent(tmp_path, team(alias="T"), team(league="CITY", alias="C")), "--league", "CITY")
    assert done.code == 0
    assert set(Team.objects.filter(is_active=False).values_list("league__league_id", flat=True)) == {"CITY"}
    assert set(Team.objects.exclude(alias="").values_list("alias", flat=True)) == {"C"}


def test_a_wrong_team_is_rejected_with_line_field_and_value(tmp_path):
    done = manage("import_teams", sent(tmp_path, team(), team("Nowhere")), "--format", "json")
    assert done.code == 3
    (rejected,) = done.json["rejected"]
    assert (rejected["field"], rejected["value"]) == ("club", "Nowhere")
    assert Team.objects.count() == 1
    (path,) = tmp_path.glob("rejected-*")
    assert json.loads(path.read_text())["value"] == "Nowhere"


def test_more_wrong_teams_than_the_budget_import_nothing(tmp_path):
    done = manage("import_teams", sent(tmp_path, team(), team("Nowhere")), "--error-budget", 0)
    assert done.code == 3
    assert not Team.objects.exists()
    assert not League.objects.exists()


def test_a_feed_that_has_lost_its_teams_deactivates_nobody(tmp_path):
    teams = [team(series=f"Series {i}") for i in range(30)]
    names = [f"Series {i}" for i in range(30)]
    manage("import_teams", sent(tmp_path, *teams, series=names))
    done = manage("import_teams", sent(tmp_path, *teams[:5], series=names))
    assert done.code == 3
    assert Team.objects.filter(is_active=True).count() == 30


def test_an_alias_that_two_teams_share_makes_nobody_the_other(tmp_path):
    manage("import_teams", sent(tmp_path, team(alias="T"), team(series="Series 2B", alias="T")))
    before = dict(Team.objects.values_list("series__name", "pk"))
    manage("import_teams", sent(tmp_path, team(series="Series 2B", alias="T"), team(alias="U")))
    assert dict(Team.objects.values_list("series__name", "pk")) == before


def test_undo_takes_an_import_back_and_leaves_teams_that_somebody_has_written_to(folder):
    run = manage("import_teams", folder, "--format", "json").json["run"]
    written = Team.objects.get(series__name="Series 22")
    poll = make_poll(make_member(), written)
    report = undo(run)
    assert report.status == "partial"
    assert list(Team.objects.all()) == [written]
    assert poll.team == written
    assert Club.objects.count() == 1


def test_every_change_is_journaled(folder):
    run = manage("import_teams", folder, "--format", "json").json
    assert Change.objects.filter(run=run["run"]).count() == run["changes"] == 8


def entered_again(first):
    """A second team of the same key, as it came before anything kept it from that."""
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    with connection.schema_editor() as editor:
        editor.remove_constraint(Team, GUARD)
    execute("DROP INDEX IF EXISTS teams_team_is_one_once")
    return Team.objects.create(club=first.club, series=first.series, league=first.league, name="again")


def test_teams_that_no_merge_can_make_one_stop_the_import_after_one_attempt(folder):
    manage("import_teams", folder)
    kept = Team.objects.get(series__name="Series 22")
    make_match(kept, entered_again(kept))
    before, last = contents(), Run.objects.latest("pk").pk
    done = manage("import_teams", sent(folder, team(alias="T")))
    assert done.code == 3
    assert "could not merge all of them" in done.words
    assert contents() == before
    assert list(Run.objects.filter(pk__gt=last).order_by("pk").values_list("verb", flat=True)) == ["import", "repair"]


def test_teams_entered_twice_are_merged_with_all_that_points_at_them_before_the_import(folder):
    manage("import_teams", folder)
    kept = Team.objects.get(series__name="Series 22")
    gone = entered_again(kept)
    captain = make_member(gone, captain=True)
    make_poll(captain, gone), make_message(captain, gone), make_practice_time(gone)
    make_match(gone, make_team("Series 9", league="APTA"))
    make_match(make_team("Series 8", league="APTA"), gone)
    done = manage("import_teams", folder)
    assert "1 keys of teams_team occurred more than once and were merged" in done.words
    assert not Team.objects.filter(pk=gone.pk).exists()
    assert Poll.objects.get().team == CaptainMessage.objects.get().team == kept
    assert orphans() == 0
    assert repair([(registry.get("teams.team_is_one"), "merge")]).changes == 0
