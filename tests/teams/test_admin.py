"""The administration: who may do what, what it shows of teams that are gone, and repairs of one row."""

from html import unescape

import pytest
from django.contrib.auth.models import Permission

from integrity.models import Run
from teams.models import CaptainMessage, Poll, PracticeTime, Team
from tests.teams.factories import (
    make_match,
    make_member,
    make_message,
    make_poll,
    make_practice_time,
    make_team,
    renumber,
)

pytestmark = pytest.mark.django_db

PAGES = ("captainmessage", "club", "league", "match", "poll", "practicetime", "series", "team", "teamkey")


def url(model, *parts):
    return "/".join(["/admin/teams", model, *map(str, parts), ""])


def text(answer):
    return " ".join(unescape(answer.content.decode()).split())


@pytest.fixture
def staff(client):
    """Log in somebody with these permissions beside seeing everything."""

    def log_in(*permissions, sees=PAGES):
        account = make_member(name="carl", is_staff=True)
        wanted = [*(f"view_{page}" for page in sees), *permissions]
        account.user_permissions.set(Permission.objects.filter(codename__in=wanted))
        client.force_login(account)
        return client

    return log_in


@pytest.fixture
def orphans():
    """A poll, a message, a practice time and a match, whose team has another number now."""
    team = make_team("Series 2B")
    ann = make_member(team, name="ann", captain=True)
    rows = {
        "poll": make_poll(ann, team),
        "captainmessage": make_message(ann, team),
        "practicetime": make_practice_time(team),
        "match": make_match(team, make_team("Series 7")),
    }
    renumber(team)
    return rows


def pages_of(rows):
    team = Team.objects.first()
    rows = rows | {"team": team, "club": team.club, "series": team.series, "league": team.league}
    return [*map(url, PAGES), *(url(page, row.pk, "change") for page, row in rows.items())]


def test_strangers_are_asked_to_log_in(client, orphans):
    for path in pages_of(orphans):
        assert client.get(path)["Location"].startswith("/admin/login/")


def test_whoever_may_see_nothing_sees_nothing(staff, orphans):
    client = staff(sees=())
    for path in pages_of(orphans):
        assert client.get(path).status_code == 403


def test_whoever_may_look_sees_every_page_and_no_way_to_write(staff, orphans):
    client = staff()
    for path in [*pages_of(orphans), *(url(page, row.pk, "check") for page, row in orphans.items())]:
        answer = client.get(path)
        assert answer.status_code == 200, path
        assert not any(word in text(answer) for word in ('name="_save"', "Try it", "Delete")), path


@pytest.mark.parametrize("page", ["poll", "captainmessage", "practicetime", "match"])
def test_a_row_whose_team_is_gone_is_in_its_list_and_says_so(admin_client, orphans, page):
    gone = getattr(orphans[page], "team_id", None) or orphans[page].home_team_id
    assert f"{gone} is gone" in text(admin_client.get(url(page)))
    assert "1 " + type(orphans[page])._meta.verbose_name in text(admin_client.get(url(page) + "?team-is=gone"))
    assert f"{gone} is gone" not in text(admin_client.get(url(page) + "?team-is=there"))
    assert f"{gone} is gone" not in text(admin_client.get(url(page) + "?team-is=none"))


def test_a_row_whose_team_is_gone_can_be_saved_as_it_is_only_with_a_team(admin_client, orphans):
    path = url("captainmessage", orphans["captainmessage"].pk, "change")
    answer = admin_client.post(path, {"team": 4_000_000, "captain": 1, "message": "Hello"})
    assert answer.status_code == 200
    assert CaptainMessage.objects.get().message == "Bring balls."


def test_the_check_of_a_row_tells_the_rule_the_number_and_what_could_be_done(admin_client, orphans):
    said = text(admin_client.get(url("poll", orphans["poll"].pk, "check")))
    assert "It breaks 1 rule" in said
    assert str(orphans["poll"].team_id) in said
    assert "teams.poll_has_its_team" in said
    assert "Forget the number" in said


def test_the_check_of_a_row_that_is_right_says_so(admin_client):
    team = make_team()
    poll = make_poll(make_member(team), team)
    said = text(admin_client.get(url("poll", poll.pk, "check")))
    assert "It keeps its rules" in said
    assert "What could be done" not in said


def try_and_apply(client, path):
    """Both steps of a repair; what the first one said."""
    tried = client.post(path, {"step": "try", "reason": "team is gone"})
    client.post(path, {"step": "apply", "reason": "team is gone"})
    return text(tried)


def test_a_repair_is_tried_first_then_carried_out_and_taken_back(admin_client, orphans):
    poll = orphans["poll"]
    said = try_and_apply(admin_client, url("poll", poll.pk, "repair", "nullify"))
    assert "This was tried and rolled back. Nothing is written yet." in said
    assert "1 row would be written" in said
    assert Poll.objects.get().team_id is None
    run = Run.objects.filter(verb="repair", dry_run=False).get()
    assert (run.actor, run.reason) == ("admin", "team is gone")
    assert f"Run {run.pk}: repair" in text(admin_client.get(url("poll", poll.pk, "check")))
    try_and_apply(admin_client, url("poll", poll.pk, "undo", run.pk))
    assert Poll.objects.get().team_id == poll.team_id


def test_a_repair_of_one_row_leaves_the_others(admin_client, orphans):
    other = make_poll(orphans["poll"].created_by, None)
    Poll.objects.filter(pk=other.pk).update(team_id=orphans["poll"].team_id)
    try_and_apply(admin_client, url("poll", other.pk, "repair", "nullify"))
    assert list(Poll.objects.order_by("pk").values_list("team_id", flat=True)) == [orphans["poll"].team_id, None]


def test_of_both_teams_of_a_match_the_one_that_is_gone_is_repaired(admin_client, orphans):
    match = orphans["match"]
    try_and_apply(admin_client, url("match", match.pk, "repair", "nullify"))
    match.refresh_from_db()
    assert (match.home_team_id, match.away_team_id is None) == (None, False)


def test_a_repair_of_what_was_repaired_meanwhile_writes_nothing(admin_client, orphans):
    path = url("poll", orphans["poll"].pk, "repair", "nullify")
    Poll.objects.update(team=None)
    answer = admin_client.post(path, {"step": "apply", "reason": "late"}, follow=True)
    assert "wrote 0 rows" in text(answer)


def test_whoever_may_look_repairs_nothing(staff, orphans):
    path = url("poll", orphans["poll"].pk, "repair", "nullify")
    assert staff("change_poll").post(path, {"step": "apply", "reason": "why"}).status_code == 403
    assert Poll.objects.get().team_id is not None


def test_a_repair_that_is_not_declared_is_not_found(admin_client, orphans):
    path = url("poll", orphans["poll"].pk, "repair", "delete")
    assert admin_client.post(path, {"step": "try", "reason": "why"}).status_code == 404


def test_a_team_is_deactivated_and_never_deleted(admin_client):
    team = make_team()
    assert admin_client.post(url("team", team.pk, "delete"), {"post": "yes"}).status_code == 403
    assert Team.objects.count() == 1


def test_a_practice_time_is_entered_once(admin_client):
    team = make_team()
    row = {"team": team.pk, "league": team.league_id, "day_of_week": 1, "start_time": "18:00", "end_time": "19:30"}
    assert admin_client.post(url("practicetime", "add"), row).status_code == 302
    answer = admin_client.post(url("practicetime", "add"), row)
    assert "already exists" in text(answer)
    assert PracticeTime.objects.count() == 1


def test_what_members_wrote_is_text_and_never_markup(admin_client):
    team = make_team()
    make_message(make_member(team), team, "<script>alert(1)</script>")
    assert "<script>alert(1)" not in admin_client.get(url("captainmessage")).content.decode()


@pytest.mark.parametrize("page", ["poll", "captainmessage", "practicetime", "match", "team"])
def test_a_list_asks_as_often_whatever_its_length(admin_client, page, django_assert_max_num_queries):
    teams = [make_team(f"Series {n}") for n in range(1, 9)]
    ann = make_member(*teams, captain=True)
    for team in teams:
        make_poll(ann, team)
        make_message(ann, team)
        make_practice_time(team)
        make_match(team, teams[0])
    with django_assert_max_num_queries(9):
        assert admin_client.get(url(page)).status_code == 200
