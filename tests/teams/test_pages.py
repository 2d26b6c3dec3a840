"""The pages of members: what they see, what they may do, and what it costs."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from teams.models import CaptainMessage, Poll, PollResponse
from tests.players.test_pages import Words
from tests.teams.factories import make_member, make_message, make_poll, make_practice_time, make_team, renumber

pytestmark = pytest.mark.django_db


@pytest.fixture
def team():
    return make_team("Series 22", alias="The Aces")


@pytest.fixture
def ann(team):
    return make_member(team, name="ann", captain=True)


@pytest.fixture
def bob(team):
    return make_member(team, name="bob")


def as_user(user):
    client = Client()
    client.force_login(user)
    return client


def read(client, path, status=200):
    answer = client.get(path)
    assert answer.status_code == status
    return words(answer)


def words(answer):
    return " ".join(" ".join(Words(answer.content.decode()).text).split())


# Signing in


def test_strangers_are_asked_to_sign_in_and_come_back(client):
    answer = client.get("/teams/7/")
    assert (answer.status_code, answer["Location"]) == (302, "/teams/login/?next=/teams/7/")


def test_a_member_signs_in_without_being_staff_and_signs_out(client):
    User.objects.create_user("ann", password="a secret of ann")
    wrong = client.post("/teams/login/", {"username": "ann", "password": "a guess"})
    assert "Please enter a correct username and password" in words(wrong)
    answer = client.post("/teams/login/", {"username": "ann", "password": "a secret of ann", "next": "/teams/"})
    assert (answer.status_code, answer["Location"]) == (302, "/teams/")
    assert "You belong to no team yet" in read(client, "/teams/")
    assert client.post("/teams/logout/")["Location"] == "/teams/login/"
    assert client.get("/teams/").status_code == 302


def test_a_sign_in_leads_to_no_other_site(client):
    User.objects.create_user("ann", password="a secret of ann")
    form = {"username": "ann", "password": "a secret of ann", "next": "https://elsewhere.example/"}
    assert client.post("/teams/login/", form)["Location"] == "/teams/"


# Seeing


def test_a_member_sees_teams_polls_messages_and_the_week(team, ann, bob):
    make_poll(ann, team, "Who plays on Friday?")
    make_message(ann, team, "Bring balls.\nAnd water.")
    make_practice_time(team, day=2, end_time="19:30", location="Court 1")
    said = read(as_user(bob), "/teams/")
    for part in (
        "Tennaqua Series 22 The Aces",
        "Who plays on Friday?",
        "Bring balls. And water.",
        "Tuesday 18:00",
    ):
        assert part in said
    assert "Tell the team" not in read(as_user(bob), f"/teams/{team.pk}/")
    assert "Tell the team" in read(as_user(ann), f"/teams/{team.pk}/")


def test_nobody_sees_what_belongs_to_others(team, ann):
    make_poll(ann, team, "Who plays on Friday?")
    make_message(ann, team)
    make_practice_time(team, location="Court 1")
    eve = as_user(make_member(make_team("Series 7"), name="eve"))
    said = read(eve, "/teams/")
    assert not any(part in said for part in ("Friday", "Bring balls", "Court 1"))
    assert "There is nothing here" in read(eve, f"/teams/{team.pk}/", status=404)


def test_staff_see_their_own_teams_alone(team, ann):
    make_message(ann, team)
    carl = User.objects.create_superuser("carl")
    assert "Bring balls" not in read(as_user(carl), "/teams/")


def test_of_a_team_that_is_gone_the_author_alone_is_told(team, ann, bob):
    make_poll(ann, team, "Who plays on Friday?")
    make_message(ann, team)
    renumber(team)
    assert read(as_user(ann), "/teams/").count("its team is gone") == 2
    said = read(as_user(bob), "/teams/")
    assert not any(part in said for part in ("Friday", "Bring balls", "gone"))


def test_a_number_that_no_team_can_have_is_not_found(ann):
    assert as_user(ann).get("/teams/99999999999999999999/").status_code == 404


def test_what_members_wrote_is_text_and_pages_keep_the_policy(team, ann):
    make_poll(ann, team, "<script>alert(1)</script>")
    for path in ("/teams/", f"/teams/{team.pk}/"):
        answer = as_user(ann).get(path)
        assert Words(answer.content.decode()).inline == []
        assert "<script>alert" not in answer.content.decode()


def test_older_messages_are_a_click_away(team, ann):
    for number in range(21):
        make_message(ann, team, f"Message {number:02d}.", created_at=f"2026-03-02T12:00:{number:02d}Z")
    said = read(as_user(ann), f"/teams/{team.pk}/")
    assert ("Message 00." in said, "Show older ones" in said) == (False, True)
    said = read(as_user(ann), f"/teams/{team.pk}/?all=1")
    assert ("Message 00." in said, "Show older ones" in said) == (True, False)


@pytest.mark.parametrize(("path", "queries"), [("/teams/", 12), ("/teams/{}/", 14)])
def test_a_page_asks_as_often_whatever_its_length(team, ann, bob, path, queries, django_assert_max_num_queries):
    for number in range(8):
        make_poll(ann, team, f"Question {number}")
        make_message(ann, team)
        make_practice_time(team, start=f"{number + 1:02d}:00")
    client = as_user(bob)
    with django_assert_max_num_queries(queries):
        assert client.get(path.format(team.pk)).status_code == 200


# Doing


def test_a_vote_is_cast_changed_and_taken_back(team, ann, bob):
    poll = make_poll(ann, team)
    yes, no = poll.choices.order_by("position")
    client = as_user(bob)
    path = f"/teams/polls/{poll.pk}/vote/"
    answer = client.post(path, {"choice": yes.pk, "next": f"/teams/{team.pk}/"})
    assert answer["Location"] == f"/teams/{team.pk}/#poll-{poll.pk}"
    assert PollResponse.objects.get().choice == yes
    assert "Yes 1" in read(client, "/teams/")
    client.post(path, {"choice": no.pk})
    assert PollResponse.objects.get().choice == no
    client.post(path, {"choice": no.pk, "next": "https://elsewhere.example/"})
    assert not PollResponse.objects.exists()


@pytest.mark.parametrize("choice", ["", "x", "0", "99999999999999999999", "4000000"])
def test_a_vote_for_nothing_is_told_and_counts_nothing(team, ann, bob, choice):
    poll = make_poll(ann, team)
    answer = as_user(bob).post(f"/teams/polls/{poll.pk}/vote/", {"choice": choice}, follow=True)
    assert f"Poll {poll.pk} has no choice" in words(answer)
    assert not PollResponse.objects.exists()


def test_nobody_votes_in_a_poll_of_others(team, ann):
    poll = make_poll(ann, team)
    eve = as_user(make_member(make_team("Series 7"), name="eve"))
    answer = eve.post(f"/teams/polls/{poll.pk}/vote/", {"choice": poll.choices.first().pk}, follow=True)
    assert f"There is no poll {poll.pk}." in words(answer)
    assert not PollResponse.objects.exists()


def test_a_member_asks_the_team(team, bob):
    form = {"question": "Friday?", "choices": "Yes\n\n No \nMaybe"}
    answer = as_user(bob).post(f"/teams/{team.pk}/ask/", form, follow=True)
    assert "The team is asked." in words(answer)
    poll = Poll.objects.get()
    assert list(poll.choices.order_by("position").values_list("text", flat=True)) == ["Yes", "No", "Maybe"]


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"question": "", "choices": "Yes\nNo"}, "This field is required."),
        ({"question": "Friday?", "choices": "Yes"}, "Give 2 to 20 answers, one on each line."),
        ({"question": "Friday?", "choices": "Yes\nyes"}, "Two choices are the same: give each once."),
        ({"question": "Friday?", "choices": "Yes\n" + "n" * 201}, "An answer has at most 200 characters."),
        ({"question": "Fri\x00day?", "choices": "Yes\nNo"}, "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_with_a_question_is_said_beside_it(team, bob, form, sentence):
    answer = as_user(bob).post(f"/teams/{team.pk}/ask/", form)
    assert (answer.status_code, sentence in words(answer), Poll.objects.count()) == (400, True, 0)


def test_a_captain_tells_the_team_and_a_member_may_not(team, ann, bob):
    form = {"message": "Bring balls."}
    refused = as_user(bob).post(f"/teams/{team.pk}/tell/", form)
    assert (refused.status_code, CaptainMessage.objects.count()) == (400, 0)
    assert "The team is told." in words(as_user(ann).post(f"/teams/{team.pk}/tell/", form, follow=True))
    assert CaptainMessage.objects.get().captain == ann


@pytest.mark.parametrize("path", ["ask", "tell"])
def test_nobody_writes_to_a_team_of_others(team, path):
    eve = as_user(make_member(make_team("Series 7"), name="eve", captain=True))
    form = {"question": "Friday?", "choices": "Yes\nNo", "message": "Hello"}
    assert eve.post(f"/teams/{team.pk}/{path}/", form).status_code == 404
    assert (Poll.objects.count(), CaptainMessage.objects.count()) == (0, 0)


def test_a_form_from_another_site_is_refused(team, ann):
    client = Client(enforce_csrf_checks=True)
    client.force_login(ann)
    assert client.post(f"/teams/{team.pk}/tell/", {"message": "Hello"}).status_code == 403
    assert CaptainMessage.objects.count() == 0
