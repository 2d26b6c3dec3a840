"""One's own stats by the API, on the page and in the administration, and never those of somebody else."""

import json
import re

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import URLResolver, get_resolver

from stats.changing import change
from stats.columns import CHANGEABLE
from stats.models import CoreStat, FallbackReads, StatHistory
from stats.reading import fallbacks, stats_of
from tests.stats.worlds import CURRENT, LEGACY, NEW, OLD, put, rows

pytestmark = pytest.mark.django_db

ME = "/api/stats/me"


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann", password="a secret of ann")


@pytest.fixture
def bob():
    user = get_user_model().objects.create_user("bob", password="a secret of bob")
    CoreStat.objects.create(user=user, strength=42, wisdom=43)
    return user


def signed_in(user, **options):
    client = Client(**options)
    client.force_login(user)
    return client


def patch(client, body, **headers):
    return client.patch(ME, json.dumps(body), content_type="application/json", **headers)


# The API


def test_the_first_look_makes_a_first_row(ann):
    answer = signed_in(ann).get(ME)
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in (*CHANGEABLE, "level")} == {
        **dict.fromkeys(CHANGEABLE, 10),
        "experience_points": 0,
        "level": 1,
    }
    assert CoreStat.objects.count() == 1


def test_a_change_is_answered_with_the_level_that_follows_and_kept_with_its_reason(ann):
    answer = patch(signed_in(ann), {"strength": 50, "experience_points": 2000, "reason": "trained"})
    assert answer.status_code == 200, answer.content
    assert (answer.json()["strength"], answer.json()["level"]) == (50, 3)
    lines = StatHistory.objects.order_by("stat").values_list("stat", "old", "new", "reason", "by")
    assert list(lines) == [
        ("experience_points", 0, 2000, "trained", "ann"),
        ("strength", 10, 50, "trained", "ann"),
    ]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"strength": 0, "reason": "x"}, "strength"),
        ({"strength": 101, "reason": "x"}, "strength"),
        ({"strength": "50", "reason": "x"}, "strength"),
        ({"strength": 50.5, "reason": "x"}, "strength"),
        ({"strength": None, "reason": "x"}, "strength"),
        ({"experience_points": 2**31, "reason": "x"}, "experience_points"),
        ({"strength": 50}, "reason"),
        ({"strength": 50, "reason": " "}, "reason"),
        ({"strength": 50, "reason": "x" * 501}, "reason"),
        ({"level": 9, "reason": "x"}, "level"),
        ({"user": 1, "strength": 50, "reason": "x"}, "user"),
    ],
)
def test_what_cannot_be_is_refused_by_its_field_and_changes_nothing(ann, body, field):
    answer = patch(signed_in(ann), body)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert not StatHistory.objects.exists()


def test_a_change_of_nothing_says_what_there_is(ann):
    answer = patch(signed_in(ann), {"reason": "x"})
    assert (answer.status_code, "strength" in answer.json()["detail"]) == (422, True)


def test_nobody_is_let_in_without_signing_in(bob):
    assert Client().get(ME).status_code == 401
    assert patch(Client(), {"strength": 1, "reason": "x"}).status_code == 401
    from players.keys import HEADER, create_key

    assert Client().get(ME, headers={HEADER: create_key("all")[1]}).status_code == 401
    assert CoreStat.objects.get(user=bob).strength == 42


def test_a_change_needs_the_token_of_the_site(ann):
    assert patch(signed_in(ann, enforce_csrf_checks=True), {"strength": 1, "reason": "x"}).status_code == 403


# Nobody else's


@pytest.mark.parametrize("query", ["", "?user=bob", "?user_id={bob}", "?id={bob}&stat=wisdom"])
def test_nobody_sees_what_belongs_to_somebody_else(ann, bob, query):
    CoreStat.objects.filter(user=bob).update(wisdom=77)
    client, query = signed_in(ann), query.format(bob=bob.pk)
    answer = client.get(ME + query).json()
    assert {answer[stat] for stat in CHANGEABLE} == {10, 0}
    page = client.get("/stats/" + query).content.decode()
    assert "<b>10</b>" in page
    assert not any(told in page for told in ("<b>42</b>", "<b>77</b>", "43 to 77", "bob,"))


def test_nobody_changes_what_belongs_to_somebody_else(ann, bob):
    before = rows(CURRENT)[bob.pk]
    client = signed_in(ann)
    assert patch(client, {"strength": 50, "reason": "x"}, QUERY_STRING=f"user={bob.pk}").status_code == 200
    form = {"stat": "wisdom", "value": 60, "reason": "x", "user": bob.pk, "user_id": bob.pk}
    assert client.post(f"/stats/?user={bob.pk}", form).status_code == 302
    assert rows(CURRENT)[bob.pk] == before
    assert not StatHistory.objects.filter(user=bob).exists()
    assert client.get(f"/api/stats/{bob.pk}").status_code == 404
    assert client.get(f"/stats/{bob.pk}/").status_code == 404


def routes(patterns, before=""):
    """Every address of the site, and under which name Django knows it."""
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, path)
        else:
            yield path, pattern.name


def routes_of_stats():
    found = [path for path, _ in routes(get_resolver().url_patterns) if path.startswith(("stats/", "admin/stats/"))]
    return found + [path for path, _ in routes(get_resolver().url_patterns) if path.startswith("api/stats")]


def test_no_route_shows_or_changes_what_belongs_to_somebody_else(ann, bob):
    """Whoever adds one meets this test: it goes through all that there are."""
    change(bob, {"charisma": 97}, by="bob", reason="known to bob alone")
    before, found = rows(CURRENT)[bob.pk], CoreStat.objects.get(user=bob)
    paths = ["/" + re.sub("<[^>]*>", str(found.pk), route) for route in routes_of_stats()]
    assert {"/stats/", "/api/stats/me", f"/admin/stats/corestat/{found.pk}/change/", "/admin/stats/stathistory/"} <= {
        *paths
    }
    form = {"stat": "wisdom", "value": 60, "strength": 60, "reason": "x", "user": bob.pk, "_selected_action": found.pk}
    form |= {"action": "delete_selected", "post": "yes"}
    for staff in (False, True):
        ann.is_staff = staff
        ann.save()
        for path in paths:
            client = signed_in(ann)
            answers = [client.get(path, {"user": bob.pk, "id": found.pk}), client.post(path, form)]
            answers += [patch(client, {"strength": 60, "reason": "x", "user": bob.pk})] if "api" in path else []
            for answer in answers:
                assert answer.status_code < 500, path
                assert "known to bob alone" not in answer.content.decode(), path
                assert not re.search(r"[>: ]97[<, }]", answer.content.decode()), path
    assert rows(CURRENT)[bob.pk] == before
    assert StatHistory.objects.filter(user=bob).count() == 1


@pytest.mark.parametrize("model", ["corestat", "stathistory", "fallbackreads"])
def test_the_administration_is_for_those_who_may(ann, bob, model):
    found = CoreStat.objects.get(user=bob)
    assert signed_in(ann).get(f"/admin/stats/{model}/").status_code == 302
    ann.is_staff = True
    ann.save()
    assert signed_in(ann).get(f"/admin/stats/{model}/").status_code == 403
    assert signed_in(ann).get(f"/admin/stats/corestat/{found.pk}/change/").status_code == 403


# The page


@pytest.mark.parametrize("path", ["/stats/", "/stats/?stat=wisdom"])
def test_the_page_leads_to_signing_in_and_back(ann, path):
    client = Client()
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.url.startswith("/stats/login/?next=/stats/")
    answer = client.post(answer.url, {"username": "ann", "password": "a secret of ann", "next": path})
    assert (answer.status_code, answer.url) == (302, path)


def test_a_change_on_the_page_shows_in_the_chart_and_in_the_history(ann):
    client = signed_in(ann)
    assert "Strength has not changed yet" in client.get("/stats/").content.decode()
    answer = client.post("/stats/", {"stat": "wisdom", "value": 60, "reason": "read <b>"}, follow=True)
    said = answer.content.decode()
    assert "Wisdom is 60 now." in said
    assert said.count("<circle") == 1
    assert "10 to 60. read &lt;b&gt;" in said
    assert client.get("/stats/?stat=nothing").status_code == 200


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"stat": "wisdom", "value": 101, "reason": "x"}, "Give a whole number from 1 to 100."),
        ({"stat": "wisdom", "value": 50, "reason": "  "}, "This field is required."),
        ({"stat": "luck", "value": 50, "reason": "x"}, "Select a valid choice"),
        ({"stat": "wisdom", "value": "", "reason": "x"}, "This field is required."),
        ({"stat": "experience_points", "value": 2**31, "reason": "x"}, "Give a whole number from 0 to 2,147,483,647."),
    ],
)
def test_what_is_wrong_is_said_beside_its_field(ann, form, said):
    answer = signed_in(ann).post("/stats/", form)
    assert (answer.status_code, said in answer.content.decode()) == (400, True)
    assert not StatHistory.objects.exists()


# The administration


def test_a_change_in_the_administration_needs_a_reason_and_is_signed(bob):
    admin = get_user_model().objects.create_superuser("eve", password="x")
    found = CoreStat.objects.get(user=bob)
    client, path = signed_in(admin), f"/admin/stats/corestat/{found.pk}/change/"
    form = {name: getattr(found, name) for name in CHANGEABLE}
    answer = client.post(path, form | {"strength": 7})
    assert "Say why: the history keeps the reason." in answer.content.decode()
    assert client.post(path, form | {"strength": 7, "reason": "a mistake"}).status_code == 302
    line = StatHistory.objects.get()
    assert (line.old, line.new, line.reason, line.by) == (42, 7, "a mistake", "eve")
    assert "strength 42 -&gt; 7: a mistake (eve)" in client.get(path).content.decode()
    for model in ("corestat", "stathistory", "fallbackreads"):
        assert client.get(f"/admin/stats/{model}/").status_code == 200


def test_who_may_only_look_cannot_change(ann, bob):
    ann.is_staff = True
    ann.save()
    ann.user_permissions.add(Permission.objects.get(codename="view_corestat"))
    found = CoreStat.objects.get(user=bob)
    path = f"/admin/stats/corestat/{found.pk}/change/"
    assert signed_in(ann).get(path).status_code == 200
    assert signed_in(ann).post(path, {"strength": 1, "reason": "x"}).status_code == 403


# The one way to read


def test_the_new_row_is_preferred_and_no_fallback_is_counted(both, ann):
    put(LEGACY, ann.pk, strength=20)
    put(CURRENT, ann.pk, strength=30)
    assert stats_of(ann).strength == 30
    assert fallbacks().reads == 0
    assert fallbacks().told() == "No reader has needed the old table."


def test_a_row_of_the_old_table_alone_is_read_and_every_time_is_counted(both, ann):
    put(LEGACY, ann.pk, strength=20, created=OLD, updated=NEW)
    for _ in range(3):
        found = stats_of(ann)
    assert (found.strength, found.created_at, found.updated_at) == (20, OLD, NEW)
    assert not CoreStat.objects.exists()
    assert fallbacks().reads == 3
    assert FallbackReads.objects.count() == 1
    assert "Readers needed the old table 3 times" in fallbacks().told()


def test_a_change_brings_the_old_row_over_with_its_times(both, ann):
    put(LEGACY, ann.pk, strength=20, wisdom=33, created=OLD, updated=NEW)
    assert patch(signed_in(ann), {"strength": 25, "reason": "x"}).status_code == 200
    found = CoreStat.objects.get()
    assert (found.strength, found.wisdom, found.created_at) == (25, 33, OLD)
    assert list(StatHistory.objects.values_list("old", "new")) == [(20, 25)]
