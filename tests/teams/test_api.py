"""The web service: exact shapes, who sees what, who may do what, and what is wrong with what was sent."""

import json

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from players.keys import HEADER, create_key, revoke_key
from teams.models import CaptainMessage, Poll, PollResponse, PracticeTime
from tests.players.factories import make_device
from tests.teams.factories import (
    make_league,
    make_member,
    make_message,
    make_poll,
    make_practice_time,
    make_team,
    renumber,
)

pytestmark = pytest.mark.django_db


class Api:
    """Somebody who is signed in, or a program with a key."""

    def __init__(self, user=None, key=None, client=None):
        self.client = client or Client()
        self.headers = {HEADER: key} if key else {}
        if user:
            self.client.force_login(user)

    def __call__(self, method, path, body=None, **headers):
        send = {"content_type": "application/json", "data": json.dumps(body)} if body is not None else {}
        return getattr(self.client, method)(f"/api/teams{path}", headers=self.headers | headers, **send)

    def names(self, path, of):
        """The questions, messages or days of a list."""
        return [row[of] for row in next(iter(self("get", path).json().values()))]


@pytest.fixture
def team():
    return make_team("Series 22", alias="The Aces", external_id="T-1")


@pytest.fixture
def ann(team):
    return make_member(team, name="ann", captain=True)


@pytest.fixture
def bob(team):
    return make_member(team, name="bob")


@pytest.fixture
def eve():
    """Of another team of the same league."""
    return make_member(make_team("Series 7"), name="eve", captain=True)


def staff(*permissions, **fields):
    user = make_member(name="carl", is_staff=True, **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return user


def fields_of(answer):
    return [error["field"] for error in answer.json()["errors"]]


# Leagues and teams


def test_the_leagues(bob):
    south = make_league("SOUTH")
    north = make_league()
    assert Api(bob)("get", "/leagues").json() == {
        "leagues": [
            {"id": north.pk, "league_id": "NORTH", "name": "North League"},
            {"id": south.pk, "league_id": "SOUTH", "name": "South League"},
        ],
        "next_offset": None,
    }


def test_a_team(team, bob):
    assert Api(bob)("get", f"/{team.pk}").json() == {
        "id": team.pk,
        "name": "Tennaqua Series 22",
        "alias": "The Aces",
        "is_active": True,
        "league": {"id": team.league_id, "league_id": "NORTH", "name": "North League"},
        "club": "Tennaqua",
        "series": "Series 22",
    }


def test_teams_of_a_league_my_own_and_those_that_are_gone(team, bob):
    make_team("Series 9", is_active=False)
    other = make_team("Series 9", league="SOUTH")
    api = Api(bob)
    assert api.names("", "name") == ["Tennaqua Series 22", "Tennaqua Series 9"]
    assert api.names("?active=false", "name") == ["Tennaqua Series 22", "Tennaqua Series 9", "Tennaqua Series 9"]
    assert api.names(f"?league={other.league_id}", "id") == [other.pk]
    assert api.names("?mine=true", "id") == [team.pk]


def test_pages_of_a_list(bob):
    for series in range(1, 4):
        make_team(f"Series {series}")
    first = Api(bob)("get", "?limit=2").json()
    assert (len(first["teams"]), first["next_offset"]) == (2, 2)
    last = Api(bob)("get", "?limit=2&offset=2").json()
    assert (len(last["teams"]), last["next_offset"]) == (2, None)


# Polls


def test_a_poll_as_a_member_sees_it(team, ann, bob):
    poll = make_poll(ann, team)
    yes, no = poll.choices.order_by("position")
    PollResponse.objects.create(poll=poll, choice=yes, user=bob)
    assert Api(bob)("get", f"/polls/{poll.pk}").json() == {
        "id": poll.pk,
        "team_id": team.pk,
        "team": "Tennaqua Series 22",
        "is_team_missing": False,
        "question": "Who plays?",
        "created_by": "ann",
        "created_at": f"{poll.created_at:%Y-%m-%dT%H:%M:%S}.{poll.created_at.microsecond // 1000:03d}Z",
        "closed_at": None,
        "choices": [
            {"id": yes.pk, "text": "Yes", "votes": 1, "mine": True},
            {"id": no.pk, "text": "No", "votes": 0, "mine": False},
        ],
    }


def test_a_member_asks_the_team(team, bob, ann):
    answer = Api(bob)("post", "/polls", {"team_id": team.pk, "question": " Friday? ", "choices": ["Yes", "No"]})
    assert (answer.status_code, answer.json()["question"]) == (201, "Friday?")
    assert [choice["text"] for choice in answer.json()["choices"]] == ["Yes", "No"]
    assert Api(ann).names("/polls", "question") == ["Friday?"]


def test_nobody_asks_a_team_of_others(team, eve):
    answer = Api(eve)("post", "/polls", {"team_id": team.pk, "question": "Friday?", "choices": ["Yes", "No"]})
    assert (answer.status_code, fields_of(answer), Poll.objects.count()) == (403, ["team_id"], 0)


def test_a_poll_of_no_team_is_refused(bob):
    answer = Api(bob)("post", "/polls", {"team_id": 4_000_000, "question": "Friday?", "choices": ["Yes", "No"]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no team 4000000.")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"question": "  "}, "question"),
        ({"question": "?" * 501}, "question"),
        ({"question": "a\x00b"}, "question"),
        ({"choices": ["Yes"]}, "choices"),
        ({"choices": ["Yes", " yes "]}, "choices"),
        ({"choices": ["Yes", " "]}, "choices"),
        ({"choices": [str(n) for n in range(21)]}, "choices"),
        ({"team_id": "1"}, "team_id"),
        ({"team_id": 1.5}, "team_id"),
        ({"team_id": 0}, "team_id"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_with_a_poll_is_named(team, bob, body, field):
    sent = {"team_id": team.pk, "question": "Friday?", "choices": ["Yes", "No"]} | body
    answer = Api(bob)("post", "/polls", sent)
    assert (answer.status_code, fields_of(answer)) == (422, [field])
    assert Poll.objects.count() == 0


def test_a_vote_counts_once_however_often_it_is_cast(team, ann, bob):
    poll = make_poll(ann, team)
    yes, no = poll.choices.order_by("position")
    api = Api(bob)
    for choice in (yes, yes, no):
        answer = api("post", f"/polls/{poll.pk}/vote", {"choice_id": choice.pk})
    assert [(choice["votes"], choice["mine"]) for choice in answer.json()["choices"]] == [(0, False), (1, True)]
    answer = api("delete", f"/polls/{poll.pk}/vote")
    assert [choice["votes"] for choice in answer.json()["choices"]] == [0, 0]


def test_a_choice_of_another_poll_is_refused(team, ann, bob):
    poll, other = make_poll(ann, team), make_poll(ann, team)
    answer = Api(bob)("post", f"/polls/{poll.pk}/vote", {"choice_id": other.choices.first().pk})
    assert (answer.status_code, fields_of(answer), PollResponse.objects.count()) == (404, ["choice_id"], 0)


def test_nobody_votes_in_a_poll_of_others(team, ann, eve):
    poll = make_poll(ann, team)
    answer = Api(eve)("post", f"/polls/{poll.pk}/vote", {"choice_id": poll.choices.first().pk})
    assert (answer.status_code, PollResponse.objects.count()) == (404, 0)


def test_staff_who_may_look_do_not_vote(team, ann):
    poll = make_poll(ann, team)
    api = Api(staff("view_poll"))
    assert api("get", f"/polls/{poll.pk}").status_code == 200
    assert api("post", f"/polls/{poll.pk}/vote", {"choice_id": poll.choices.first().pk}).status_code == 403


def test_who_asked_closes_the_poll_and_nobody_votes_then(team, ann, bob):
    poll = make_poll(ann, team)
    assert Api(bob)("post", f"/polls/{poll.pk}/close").status_code == 403
    closed = Api(ann)("post", f"/polls/{poll.pk}/close").json()["closed_at"]
    assert Api(ann)("post", f"/polls/{poll.pk}/close").json()["closed_at"] == closed is not None
    answer = Api(bob)("post", f"/polls/{poll.pk}/vote", {"choice_id": poll.choices.first().pk})
    assert (answer.status_code, answer.json()["detail"]) == (409, "The poll is closed.")


# Messages and practice times


def test_a_captain_tells_the_team(team, ann, bob, eve):
    answer = Api(ann)("post", "/messages", {"team_id": team.pk, "message": "Bring balls.\n"})
    row = CaptainMessage.objects.get()
    assert (answer.status_code, answer.json()) == (
        201,
        {
            "id": row.pk,
            "team_id": team.pk,
            "team": "Tennaqua Series 22",
            "is_team_missing": False,
            "message": "Bring balls.",
            "captain": "ann",
            "created_at": answer.json()["created_at"],
        },
    )
    assert Api(bob).names("/messages", "message") == ["Bring balls."]
    assert Api(eve).names("/messages", "message") == []


@pytest.mark.parametrize("who", ["bob", "eve"])
def test_only_a_captain_of_the_team_tells_it(team, who, request):
    answer = Api(request.getfixturevalue(who))("post", "/messages", {"team_id": team.pk, "message": "Hello"})
    assert (answer.status_code, fields_of(answer), CaptainMessage.objects.count()) == (403, ["team_id"], 0)


def test_a_captain_sets_the_practice_times(team, ann, bob, eve):
    body = {"team_id": team.pk, "day_of_week": 2, "start_time": "18:30", "end_time": "20:00", "location": "Court 1"}
    answer = Api(ann)("post", "/practice-times", body)
    assert answer.status_code == 201
    (seen,) = Api(bob)("get", "/practice-times").json()["practice_times"]
    assert seen == body | {"id": PracticeTime.objects.get().pk, "team": team.name, "is_team_missing": False}
    assert Api(eve).names("/practice-times", "id") == []


def test_a_practice_time_is_set_once(team, ann):
    body = {"team_id": team.pk, "day_of_week": 2, "start_time": "18:30"}
    assert Api(ann)("post", "/practice-times", body).status_code == 201
    answer = Api(ann)("post", "/practice-times", body)
    assert (answer.status_code, PracticeTime.objects.count()) == (409, 1)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"day_of_week": 8}, "day_of_week"),
        ({"start_time": "25:00"}, "start_time"),
        ({"start_time": "18:30:00"}, "start_time"),
        ({"end_time": "18:00"}, "end_time"),
    ],
)
def test_what_is_wrong_with_a_practice_time_is_named(team, ann, body, field):
    sent = {"team_id": team.pk, "day_of_week": 2, "start_time": "18:30"} | body
    answer = Api(ann)("post", "/practice-times", sent)
    assert (answer.status_code, fields_of(answer)) == (422, [field])


def test_only_a_captain_removes_a_practice_time(team, ann, bob, eve):
    path = f"/practice-times/{make_practice_time(team).pk}"
    assert [Api(user)("delete", path).status_code for user in (eve, bob, ann, ann)] == [404, 403, 204, 404]


# A team that is gone


def test_what_points_at_a_team_that_is_gone_is_seen_by_its_author_alone_and_marked(team, ann, bob):
    make_poll(ann, team)
    make_message(ann, team)
    make_practice_time(team)
    gone = team.pk
    renumber(team)
    for path in ("/polls", "/messages"):
        (seen,) = next(iter(Api(ann)("get", path).json().values()))
        assert (seen["team_id"], seen["team"], seen["is_team_missing"]) == (gone, None, True)
        assert Api(bob).names(path, "id") == []
    assert Api(ann).names("/practice-times", "id") == Api(bob).names("/practice-times", "id") == []
    assert Api(staff("view_practicetime")).names("/practice-times", "is_team_missing") == [True]


def test_nobody_answers_a_poll_whose_team_is_gone(team, ann):
    poll = make_poll(ann, team)
    renumber(team)
    answer = Api(ann)("post", f"/polls/{poll.pk}/vote", {"choice_id": poll.choices.first().pk})
    assert (answer.status_code, PollResponse.objects.count()) == (403, 0)


def test_what_is_pointed_at_its_team_again_is_seen_again_by_the_right_members(team, ann, bob, eve):
    poll, message, practice = make_poll(ann, team), make_message(ann, team), make_practice_time(team)
    now = renumber(team)
    for row in (poll, message, practice):
        type(row).objects.filter(pk=row.pk).update(team=now)
    for path in ("/polls", "/messages", "/practice-times"):
        assert Api(bob).names(path, "is_team_missing") == [False]
        assert Api(eve).names(path, "id") == []


def test_a_poll_of_no_team_is_its_authors_alone(ann, bob):
    make_poll(ann, None)
    (seen,) = Api(ann)("get", "/polls").json()["polls"]
    assert (seen["team_id"], seen["is_team_missing"]) == (None, False)
    assert Api(bob).names("/polls", "id") == []


# Who may


def test_a_program_reads_everything_and_writes_nothing(team, ann):
    poll = make_poll(ann, team)
    make_message(ann, team)
    api = Api(key=create_key("all")[0])
    assert api.names("/polls", "id") == [poll.pk]
    assert api.names("/messages", "message") == ["Bring balls."]
    for method, path, body in (
        ("post", "/polls", {"team_id": team.pk, "question": "?", "choices": ["Yes", "No"]}),
        ("post", f"/polls/{poll.pk}/vote", {"choice_id": poll.choices.first().pk}),
        ("delete", f"/polls/{poll.pk}/vote", None),
        ("post", f"/polls/{poll.pk}/close", None),
        ("post", "/messages", {"team_id": team.pk, "message": "Hello"}),
        ("post", "/practice-times", {"team_id": team.pk, "day_of_week": 1, "start_time": "18:00"}),
        ("get", "?mine=true", None),
    ):
        answer = api(method, path, body)
        assert (answer.status_code, "sign in" in answer.json()["detail"]) == (403, True)


def test_the_key_of_a_device_opens_nothing_here():
    key, _ = create_key("bike", make_device())
    assert Api(key=key)("get", "/leagues").status_code == 403


def test_a_revoked_key_opens_nothing():
    key, record = create_key("all")
    revoke_key(record)
    assert Api(key=key)("get", "/leagues").status_code == 403


def test_nobody_gets_in_without_signing_in():
    answer = Api()("get", "/polls")
    assert (answer.status_code, "sign in" in answer.json()["detail"]) == (401, True)


def test_a_write_from_another_site_is_refused(team, ann):
    api = Api(client=Client(enforce_csrf_checks=True))
    api.client.force_login(ann)
    answer = api("post", "/messages", {"team_id": team.pk, "message": "Hello"})
    assert (answer.status_code, CaptainMessage.objects.count()) == (403, 0)


def test_staff_without_the_permission_see_what_members_see(team, ann):
    make_poll(ann, team)
    make_message(ann, team)
    api = Api(staff("view_poll"))
    assert len(api.names("/polls", "id")) == 1
    assert api.names("/messages", "id") == []


# Cost


@pytest.mark.parametrize(
    ("path", "queries"), [("", 3), ("/leagues", 3), ("/polls", 6), ("/messages", 5), ("/practice-times", 4)]
)
def test_a_list_asks_as_often_whatever_its_length(team, ann, bob, path, queries, django_assert_num_queries):
    def more():
        make_poll(ann, team)
        make_message(ann, team)
        make_practice_time(team, start=f"{PracticeTime.objects.count() + 1:02d}:00")

    api = Api(bob)
    for rows in (1, 5):
        for _ in range(rows):
            more()
        with django_assert_num_queries(queries):
            assert api("get", path).status_code == 200
