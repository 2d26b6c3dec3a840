"""What the web service answers: to whom, with which status, in one form, and in a constant number of statements."""

import json
from decimal import Decimal

import pytest
from django.db import InterfaceError, OperationalError

from players.keys import create_key, revoke_key
from players.models import Player
from tests.players.bikes import ride
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db


@pytest.fixture
def class_():
    return make_group("Class", make_group("School"))


@pytest.fixture
def ada(class_):
    return make_player(name="Ada", id_tag="Ada-1", groups=[class_])


@pytest.fixture
def red(class_):
    return make_device("Red", class_)


@pytest.fixture
def report(client, ada, red):
    """Send a report; what is given replaces what is right."""
    own = create_key("red", red)[0]

    def send(body=None, *, key=own, content_type="application/json", again=None, **members):
        headers = {"X-Api-Key": key, "Idempotency-Key": again}
        data = {"id_tag": "Ada-1", "device_id": "Red", "distance": 1} | members
        return client.post(
            "/api/update_data",
            json.dumps(data) if body is None else body,
            content_type=content_type,
            headers={name: value for name, value in headers.items() if value is not None},
        )

    return send


def assert_problem(response, status, field=None, sentence=""):
    body = response.json()
    assert (response.status_code, body["status"], body["type"]) == (status, status, "about:blank"), body
    assert body["title"]
    assert sentence in body["detail"]
    assert [error["field"] for error in body["errors"]] == ([field] if field else [])
    return response


def total():
    return Player.objects.get(name="Ada").distance_total


# Reports


def test_a_report_is_answered_with_the_new_totals(report):
    report(distance=2)
    assert report(distance=1.25).json() == {"skipped": False, "distance_total": "3.25000", "session_km": "3.25000"}


def test_a_skipped_report_says_nothing_else(report):
    Player.objects.update(collects=False)
    response = report()
    assert (response.status_code, response.json()) == (200, {"skipped": True})


@pytest.mark.parametrize("distance", ["1.5", 1.5, 3, 3.0, "0", 0.1, 1e-5])
def test_a_distance_is_a_number_or_its_text(report, distance):
    assert report(distance=distance).status_code == 200
    assert total() == Decimal(str(distance))


@pytest.mark.parametrize(
    "distance", [-1, "-1", 0.000001, 101, 1e300, "NaN", "", "1e1", None, True, [], {}, float("nan"), float("inf")]
)
def test_a_distance_that_cannot_be_is_refused_by_name(report, distance):
    assert_problem(report(distance=distance), 422, "distance")
    assert total() == 0


@pytest.mark.parametrize("member", ["id_tag", "device_id"])
@pytest.mark.parametrize("value", ["", "x" * 300, "a\x00b", "\ud800", 7, None, [], {"a": 1}])
def test_a_name_that_cannot_be_is_refused_by_name(report, member, value):
    assert_problem(report(**{member: value}), 422, member)


def test_every_wrong_member_is_named_at_once(report):
    errors = report(json.dumps({"id_tag": 1, "colour": "red"})).json()["errors"]
    assert sorted(error["field"] for error in errors) == ["colour", "device_id", "distance", "id_tag"]


@pytest.mark.parametrize("body", ["{", "[" * 10_000, "\xff", "1" * 9_000, "{'a': 1}"])
def test_a_body_that_nobody_can_read_is_refused(report, body):
    assert_problem(report(body), 400, "body", "The body is no JSON that can be read")


@pytest.mark.parametrize("body", ["", "null", "[]", '"text"', "7"])
def test_a_body_that_is_no_object_is_refused(report, body):
    assert report(body).status_code == 422


def test_a_body_that_is_too_large_is_refused(report):
    assert_problem(report(" " * 20_000), 413, None, "A body has at most 16,384 bytes")


def test_a_body_that_is_not_even_read_is_refused_alike(report, settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 10
    assert_problem(report(), 413, None, "A body has at most 16,384 bytes")


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
def test_a_body_that_is_not_said_to_be_json_is_refused(report, content_type):
    assert_problem(report(content_type=content_type), 415, "Content-Type", "Send JSON")


def test_a_charset_beside_the_content_type_is_welcome(report):
    assert report(content_type="application/json; charset=utf-8").status_code == 200


# Who may


def test_without_a_key_nothing_is_reported(report):
    assert_problem(report(key=None), 401, "X-Api-Key", "Send an API key")
    assert total() == 0


@pytest.mark.parametrize("key", ["wrong", "é", "x" * 5_000])
def test_with_a_wrong_key_nothing_is_reported(report, key):
    assert_problem(report(key=key), 403, "X-Api-Key", "unknown or revoked")
    assert total() == 0


def test_with_a_revoked_key_nothing_is_reported(report, red):
    plain, record = create_key("lost", red)
    assert report(key=plain).status_code == 200
    revoke_key(record)
    assert_problem(report(key=plain), 403, "X-Api-Key")


def test_with_the_key_of_another_device_nothing_is_reported(report):
    assert_problem(report(key=create_key("blue", make_device("Blue"))[0]), 403, "device_id", "another device")
    assert total() == 0


def test_a_global_key_serves_every_device(report):
    make_device("Blue")
    key = create_key("all")[0]
    assert [report(key=key, device_id=name).status_code for name in ("Red", "Blue")] == [200, 200]


def test_a_wrong_key_is_refused_before_the_body_is_looked_at(report):
    assert_problem(report("{", key="wrong"), 403, "X-Api-Key")


def test_an_unknown_tag_or_device_is_not_found(report):
    assert_problem(report(id_tag="nobody"), 404, "id_tag", "no player with the ID tag 'nobody'")
    assert_problem(report(device_id="Green", key=create_key("all")[0]), 404, "device_id", "no device 'Green'")


@pytest.mark.parametrize("path", ["leaderboard", "players/{id}", "reports/mileage?from=2026-03-01&to=2026-03-02"])
def test_reads_are_public(client, ada, path):
    assert client.get(f"/api/{path.format(id=ada.pk)}").status_code == 200


@pytest.mark.parametrize("method", ["put", "patch", "delete"])
@pytest.mark.parametrize("path", ["update_data", "leaderboard", "players/1"])
def test_no_other_method_does_anything(client, method, path):
    assert getattr(client, method)(f"/api/{path}").status_code == 405


# Again


def test_a_report_that_comes_again_gets_the_first_answer(report):
    first = report(distance=2, again="a")
    report(distance=1, again="b")
    assert report(distance=2, again="a").json() == first.json()
    assert total() == 3


def test_another_report_with_the_same_key_is_a_conflict(report):
    report(distance=2, again="a")
    assert_problem(report(distance=3, again="a"), 409, "Idempotency-Key", "take a new one")


@pytest.mark.parametrize("again", ["", "x" * 201])
def test_an_idempotency_key_has_a_sensible_length(report, again):
    assert_problem(report(again=again), 422, "Idempotency-Key")


# What goes wrong


@pytest.mark.parametrize("error", [OperationalError("gone"), InterfaceError("closed")])
def test_a_database_that_cannot_answer_asks_to_come_back(report, monkeypatch, error):
    def fail(*args):
        raise error

    monkeypatch.setattr("players.api.update_data", fail)
    response = assert_problem(report(), 503, None, "try again")
    assert response["Retry-After"] == "5"


def test_a_total_beyond_its_column_is_refused_whole(report, ada):
    Player.objects.update(distance_total="9999999999.99999")
    assert_problem(report(), 422, None, "cannot hold")
    assert not hasattr(Player.objects.get(), "open_session")


# Limits


def test_a_key_that_asks_too_often_is_told_when_to_come_back(report, settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 2}
    assert [report().status_code for _ in range(2)] == [200, 200]
    assert assert_problem(report(), 429, None, "More than 2 requests in a minute")["Retry-After"] == "30"
    assert total() == 2


def test_an_address_that_asks_too_often_is_told_when_to_come_back(client, settings):
    settings.PLAYERS = {"ADDRESS_REQUESTS_PER_MINUTE": 2}
    assert [client.get("/api/leaderboard").status_code for _ in range(2)] == [200, 200]
    assert int(assert_problem(client.get("/api/leaderboard"), 429)["Retry-After"]) == 30


def test_who_tries_keys_is_limited_by_address_and_who_has_one_is_not(report, settings):
    settings.PLAYERS = {"ADDRESS_REQUESTS_PER_MINUTE": 2}
    assert [report(key="wrong").status_code for _ in range(3)] == [403, 403, 429]
    assert report(key=None).status_code == 429
    assert report().status_code == 200


# Reads


def test_the_leaderboard_shows_players_and_groups(client, ada, class_, red):
    ride(ada, red, 3)
    body = client.get(f"/api/leaderboard?group={class_.parent_id}").json()
    assert body == {
        "group": {"id": class_.parent_id, "name": "School"},
        "players": [{"rank": 1, "id": ada.pk, "name": "Ada", "distance_total": "3.00000"}],
        "groups": [{"rank": 1, "id": class_.pk, "name": "Class", "distance_total": "3.00000"}],
        "next_offset": None,
    }


def test_a_report_shows_local_days(client):
    query = {"from": "2026-03-02", "to": "2026-03-03T00:00", "bucket": "day", "tz": "Europe/Vienna"}
    body = client.get("/api/reports/mileage", query).json()
    assert (body["start"], body["rows"][0]["end"]) == ("2026-03-02T00:00:00+01:00", "2026-03-03T00:00:00+01:00")
    assert (body["total_km"], body["tz"], body["bucket"]) == ("0.00000", "Europe/Vienna", "day")


def test_a_player_shows_no_tag_and_no_hidden_group(client, ada, red, class_):
    ada.groups.add(make_group("Secret", is_visible=False))
    ride(ada, red, 3)
    assert client.get(f"/api/players/{ada.pk}").json() == {
        "id": ada.pk,
        "name": "Ada",
        "distance_total": "3.00000",
        "in_flight_km": "3.00000",
        "groups": [{"id": class_.pk, "name": "Class"}],
    }


@pytest.mark.parametrize("hidden", [True, False])
def test_a_player_who_is_hidden_or_missing_is_not_found(client, hidden):
    player = make_player(is_visible=False).pk if hidden else 999
    assert_problem(client.get(f"/api/players/{player}"), 404, "player_id", f"There is no player {player}")


@pytest.mark.parametrize("path", ["leaderboard?", "reports/mileage?from=2026-03-01&to=2026-03-02&"])
def test_a_group_that_is_hidden_is_not_found(client, path):
    assert_problem(client.get(f"/api/{path}group={make_group(is_visible=False).pk}"), 404, "group")


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("leaderboard?limit=0", "limit"),
        ("leaderboard?limit=201", "limit"),
        ("leaderboard?limit=x", "limit"),
        ("leaderboard?offset=-1", "offset"),
        ("leaderboard?group=0", "group"),
        ("leaderboard?group=9223372036854775808", "group"),
        ("players/0", "player_id"),
        ("players/9223372036854775808", "player_id"),
        ("players/x", "player_id"),
        ("reports/mileage?to=2026-03-02", "from"),
        ("reports/mileage?from=2026-03-01", "to"),
        ("reports/mileage?from=soon&to=2026-03-02", "from"),
        ("reports/mileage?from=0001-01-01&to=2026-03-02", "from"),
        ("reports/mileage?from=2026-03-01&to=9999-12-31", "to"),
        ("reports/mileage?from=2026-03-01&to=2026-03-01", "to"),
        ("reports/mileage?from=2026-03-01&to=2026-03-02&bucket=year", "bucket"),
        ("reports/mileage?from=2001-03-01&to=2026-03-02&bucket=hour", "bucket"),
        ("reports/mileage?from=2026-03-01&to=2026-03-02&tz=Mars", "tz"),
        ("reports/mileage?from=2026-03-01&to=2026-03-02&tz=%00", "tz"),
        ("reports/mileage?from=2026-03-01&to=2026-03-02&group=x", "group"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(client, path, field):
    assert_problem(client.get(f"/api/{path}"), 422, field)


@pytest.mark.parametrize("count", [1, 15])
def test_reads_take_a_constant_number_of_statements(client, django_assert_num_queries, count):
    """One more than the verbs for each: the request is counted."""
    school = make_group("School")
    for _ in range(count):
        player = make_player(rides=[1, 2], open=[2, 1], groups=[make_group(parent=school) for _ in range(3)])
    span = f"reports/mileage?from=2026-03-01&to=2026-03-08&group={school.pk}"
    for path, statements in {f"leaderboard?group={school.pk}": 5, span: 4, f"players/{player.pk}": 3}.items():
        with django_assert_num_queries(statements):
            assert client.get(f"/api/{path}").status_code == 200


@pytest.mark.parametrize("groups", [1, 15])
def test_a_report_takes_a_constant_number_of_statements(report, ada, django_assert_num_queries, groups):
    for _ in range(groups):
        ada.groups.add(make_group(parent=make_group()))
    report()  # notes the use of the key and opens the session
    with django_assert_num_queries(9):
        assert report(again="a").status_code == 200
