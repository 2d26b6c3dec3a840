"""The web service: exact shapes, who may ask, and what is wrong with what was sent."""

import json
from uuid import uuid4

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from players.keys import HEADER, create_key, revoke_key
from tests.players.factories import make_device
from tests.vehicles.factories import day, make_event, make_vehicle
from vehicles.models import MileageChange, MileageOverride, ServiceReminder, Vehicle, VehicleEvent

pytestmark = pytest.mark.django_db


class Api:
    """A program with a key."""

    def __init__(self, key=None, client=None):
        self.client = client or Client()
        self.headers = {HEADER: key} if key else {}

    def __call__(self, method, path, body=None, **headers):
        send = {"content_type": "application/json", "data": json.dumps(body)} if body is not None else {}
        return getattr(self.client, method)(f"/api/vehicles{path}", headers=self.headers | headers, **send)


@pytest.fixture
def api():
    return Api(create_key("fleet")[0])


def sign_in(*permissions, is_staff=True):
    user = User.objects.create(username="ann", is_staff=is_staff)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return Api(client=client)


def fields(answer):
    return [error["field"] for error in answer.json()["errors"]]


# Mileage


def test_the_mileage_from_an_event(api):
    vehicle = make_vehicle([76_000, 77_000])
    answer = api("get", f"/{vehicle.pk}/mileage")
    event = VehicleEvent.objects.get(miles=77_000)
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "current_mileage": 77_000,
            "override": None,
            "source": "event",
            "last_updated_at": f"{vehicle.mileage_last_updated_at:%Y-%m-%dT%H:%M:%S.}"
            f"{vehicle.mileage_last_updated_at.microsecond // 1000:03}Z",
            "is_override_active": False,
            "metadata": {
                "description": "Computed from latest event",
                "vehicle_id": vehicle.pk,
                "vehicle_uuid": str(vehicle.uuid),
                "initial_mileage": None,
                "event": {
                    "id": event.pk,
                    "uuid": str(event.uuid),
                    "type": "odometer",
                    "occurred_at": "2026-03-03T08:00:00Z",
                },
                "override": None,
            },
        },
    )


def test_the_mileage_of_an_override_says_by_whom_and_why(api):
    vehicle = make_vehicle([77_000])
    api("post", f"/{vehicle.pk}/mileage", {"mileage": 50_000, "reason": "Odometer replaced"})
    found = api("get", f"/{vehicle.pk}/mileage").json()
    assert (found["override"], found["is_override_active"], found["source"]) == (50_000, True, "override")
    assert found["metadata"]["description"] == "Set by an override"
    assert found["metadata"]["override"]["reason"] == "Odometer replaced"
    assert found["metadata"]["override"]["author"] == "key fleet"


@pytest.mark.parametrize(
    ("initial", "source", "description"),
    [(500, "manual", "Taken from the initial mileage"), (None, "none", "No mileage is known")],
)
def test_the_mileage_without_a_log(api, initial, source, description):
    found = api("get", f"/{make_vehicle(initial_mileage=initial).pk}/mileage").json()
    assert (found["current_mileage"], found["source"]) == (initial or 0, source)
    assert found["metadata"]["description"] == description


def test_an_override_is_answered_exactly(api):
    vehicle = make_vehicle([77_000])
    answer = api("post", f"/{vehicle.pk}/mileage", {"mileage": 50_000, "reason": "Odometer replaced"})
    assert (answer.status_code, answer.json()) == (
        200,
        {
            "success": True,
            "current_mileage": 50_000,
            "source": "override",
            "message": "The mileage is 50000 by override; the log does not move it.",
        },
    )


def test_removing_an_override_answers_the_recomputed_mileage(api):
    vehicle = make_vehicle([77_000])
    api("post", f"/{vehicle.pk}/mileage", {"mileage": 50_000})
    make_event(vehicle, 5, 78_000)
    answer = api("delete", f"/{vehicle.pk}/mileage")
    assert answer.json() == {
        "success": True,
        "current_mileage": 78_000,
        "source": "event",
        "message": "No override: the mileage is 78000, computed anew.",
    }


def test_removing_no_override_changes_nothing(api):
    vehicle = make_vehicle([77_000])
    assert api("delete", f"/{vehicle.pk}/mileage").json()["current_mileage"] == 77_000
    assert not MileageOverride.objects.exists()


@pytest.mark.parametrize("mileage", [0, 1, 1_000_000, 50_000.0])
def test_every_whole_mileage_is_taken(api, mileage):
    answer = api("post", f"/{make_vehicle().pk}/mileage", {"mileage": mileage})
    assert (answer.status_code, answer.json()["current_mileage"]) == (200, mileage)


@pytest.mark.parametrize("mileage", [-1, 1_000_001, 50_000.5, "50000", True, None, [], 1e300])
def test_a_mileage_that_is_none_is_named(api, mileage):
    vehicle = make_vehicle([77_000])
    answer = api("post", f"/{vehicle.pk}/mileage", {"mileage": mileage})
    assert (answer.status_code, fields(answer)) == (422, ["mileage"])
    assert Vehicle.objects.get().current_mileage_override is None


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e400"])
def test_what_is_no_number_is_named_as_well(api, number):
    path = f"/api/vehicles/{make_vehicle().pk}/mileage"
    answer = api.client.post(path, f'{{"mileage": {number}}}', content_type="application/json", headers=api.headers)
    assert (answer.status_code, fields(answer)) == (422, ["mileage"])


def test_a_missing_mileage_and_an_unknown_member_are_named(api):
    answer = api("post", f"/{make_vehicle().pk}/mileage", {"milage": 5})
    assert (answer.status_code, sorted(fields(answer))) == (422, ["milage", "mileage"])


def test_a_reason_is_text_without_nul(api):
    answer = api("post", f"/{make_vehicle().pk}/mileage", {"mileage": 5, "reason": "a\x00b"})
    assert (answer.status_code, fields(answer)) == (422, ["reason"])


# Who may ask

PATHS = [
    ("get", ""),
    ("get", "/{v}/mileage"),
    ("post", "/{v}/mileage"),
    ("delete", "/{v}/mileage"),
    ("get", "/{v}/mileage/history"),
    ("get", "/{v}/events"),
    ("post", "/{v}/events"),
    ("get", "/{v}/events/{e}"),
    ("patch", "/{v}/events/{e}"),
    ("delete", "/{v}/events/{e}"),
    ("post", "/{v}/events/{e}/restore"),
    ("get", "/{v}/anomalies"),
    ("post", "/{v}/anomalies/accept"),
    ("post", "/{v}/anomalies/correct"),
    ("get", "/reminders/due"),
]


def every_status(api):
    vehicle = make_vehicle([77_000])
    event = vehicle.events.get()
    return {
        api(method, path.format(v=vehicle.pk, e=event.pk), {} if method in ("post", "patch") else None).status_code
        for method, path in PATHS
    }


def test_nobody_is_told_to_send_a_key():
    assert every_status(Api()) == {401}
    answer = Api()("get", "")
    assert answer.json()["detail"].startswith("Send a global API key in the header X-Api-Key, or sign in")


@pytest.mark.parametrize("key", ["unknown", "unknown.key", "\u00e4"])
def test_an_unknown_key_opens_nothing(key):
    assert every_status(Api(key)) == {403}


def test_a_revoked_key_opens_nothing():
    plain, record = create_key("old")
    revoke_key(record)
    assert every_status(Api(plain)) == {403}


def test_the_key_of_a_device_opens_nothing():
    assert every_status(Api(create_key("bike", make_device())[0])) == {403}


def test_staff_may_do_what_the_administration_lets_them():
    vehicle = make_vehicle([77_000])
    viewer = sign_in("view_vehicle")
    assert viewer("get", f"/{vehicle.pk}/mileage").status_code == 200
    answer = viewer("post", f"/{vehicle.pk}/mileage", {"mileage": 5})
    assert (answer.status_code, answer.json()["detail"]) == (403, "ann lacks the permission vehicles.change_vehicle.")


def test_staff_sign_with_their_name():
    vehicle = make_vehicle([77_000])
    assert sign_in("change_vehicle")("post", f"/{vehicle.pk}/mileage", {"mileage": 5}).status_code == 200
    assert (MileageOverride.objects.get().author, MileageChange.objects.first().who) == ("ann", "ann")


def test_who_is_not_staff_may_do_nothing():
    assert every_status(sign_in("view_vehicle", "change_vehicle", is_staff=False)) == {403}


def test_a_foreign_page_cannot_use_a_session():
    vehicle = make_vehicle([77_000])
    signed_in = sign_in("change_vehicle")
    signed_in.client.handler.enforce_csrf_checks = True
    assert signed_in("post", f"/{vehicle.pk}/mileage", {"mileage": 5}).status_code == 403


# Which row


@pytest.mark.parametrize(("method", "path"), PATHS[1:-1])
def test_an_unknown_vehicle_is_not_found(api, method, path):
    bodies = {
        "/{v}/mileage": {"mileage": 5},
        "/{v}/events": {"occurred_at": "2026-03-02T08:00:00Z"},
        "/{v}/events/{e}": {"miles": 5},
        "/{v}/anomalies/accept": {"event_id": 1, "reason": "so it is"},
        "/{v}/anomalies/correct": {"event_id": 1, "miles": 5, "reason": "so it is"},
    }
    for vehicle in (4_000_000, uuid4()):
        body = bodies.get(path) if method in ("post", "patch") else None
        answer = api(method, path.format(v=vehicle, e=1), body)
        assert (answer.status_code, fields(answer)) == (404, ["id"])
        assert answer.json()["detail"] == f"There is no vehicle {vehicle}."


@pytest.mark.parametrize("number", ["0", "-1", "9223372036854775808", "one", "1.5"])
def test_what_is_no_number_of_a_vehicle_is_named(api, number):
    answer = api("get", f"/{number}/mileage")
    assert answer.status_code == 422


def test_a_vehicle_and_an_event_have_a_number_and_a_uuid(api):
    vehicle = make_vehicle([77_000])
    event = vehicle.events.get()
    assert api("get", f"/{vehicle.uuid}/mileage").json()["current_mileage"] == 77_000
    assert api("get", f"/{vehicle.uuid}/events/{event.uuid}").json()["id"] == event.pk


def test_an_event_of_another_vehicle_is_not_found(api):
    mine, other = make_vehicle([1]), make_vehicle([2])
    answer = api("patch", f"/{mine.pk}/events/{other.events.get().pk}", {"miles": 5})
    assert (answer.status_code, fields(answer)) == (404, ["event_id"])


# Events


def test_an_event_is_entered_and_the_mileage_follows(api):
    vehicle = make_vehicle([77_000])
    sent = {"occurred_at": "2026-04-01T12:00:00+02:00", "miles": 77_400, "type": "fuel", "cost": 61.5, "notes": "full"}
    answer = api("post", f"/{vehicle.pk}/events", sent)
    assert answer.status_code == 201
    found = answer.json()
    assert {name: found[name] for name in ("miles", "type", "cost", "notes", "source", "occurred_at")} == {
        "miles": 77_400,
        "type": "fuel",
        "cost": "61.50",
        "notes": "full",
        "source": "api",
        "occurred_at": "2026-04-01T10:00:00Z",
    }
    assert Vehicle.objects.get().current_mileage == 77_400


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"occurred_at": "yesterday"}, "occurred_at"),
        ({"occurred_at": "2026-04-01T12:00:00"}, "occurred_at"),
        ({"occurred_at": "0001-01-01T00:00:00Z"}, "occurred_at"),
        ({"occurred_at": 5}, "occurred_at"),
        ({"miles": -1}, "miles"),
        ({"miles": 1_000_001}, "miles"),
        ({"miles": "77000"}, "miles"),
        ({"type": "flight"}, "type"),
        ({"type": "odometer_replacement"}, "miles"),
        ({"replaced_miles": 5}, "replaced_miles"),
        ({"cost": -1}, "cost"),
        ({"cost": "1.234"}, "cost"),
        ({"cost": "many"}, "cost"),
        ({"notes": "a\x00"}, "notes"),
        ({"source": ""}, "source"),
        ({"vehicle": 3}, "vehicle"),
    ],
)
def test_what_is_wrong_with_an_event_is_named(api, wrong, field):
    answer = api("post", f"/{make_vehicle().pk}/events", {"occurred_at": "2026-04-01T12:00:00Z"} | wrong)
    assert (answer.status_code, fields(answer)) == (422, [field])
    assert not VehicleEvent.objects.exists()


def test_the_log_comes_in_pages_the_latest_first(api):
    vehicle = make_vehicle([1, 2, 3])
    make_event(vehicle, 9, 9, deleted_at=day(9))
    first = api("get", f"/{vehicle.pk}/events?limit=2").json()
    assert ([event["miles"] for event in first["events"]], first["next_offset"]) == ([3, 2], 2)
    second = api("get", f"/{vehicle.pk}/events?limit=2&offset=2").json()
    assert ([event["miles"] for event in second["events"]], second["next_offset"]) == ([1], None)
    assert len(api("get", f"/{vehicle.pk}/events?deleted=true").json()["events"]) == 4


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "offset=-1", "limit=x"])
def test_a_page_that_is_none_is_named(api, query):
    answer = api("get", f"/{make_vehicle().pk}/events?{query}")
    assert (answer.status_code, fields(answer)) == (422, [query.partition("=")[0]])


def test_an_event_changes_in_what_is_given_alone(api):
    vehicle = make_vehicle([77_000, 770_100])
    event = vehicle.events.get(miles=770_100)
    answer = api("patch", f"/{vehicle.pk}/events/{event.pk}", {"miles": 77_100, "reason": "one digit too many"})
    assert (answer.status_code, answer.json()["miles"], answer.json()["type"]) == (200, 77_100, "odometer")
    assert Vehicle.objects.get().current_mileage == 77_100
    assert [(c.old, c.new, c.reason, c.who) for c in event.corrections.all()] == [
        (770_100, 77_100, "one digit too many", "key fleet")
    ]


def test_an_event_moves_to_another_vehicle(api):
    mine, other = make_vehicle([1000, 2000]), make_vehicle()
    event = mine.events.get(miles=2000)
    answer = api("patch", f"/{mine.pk}/events/{event.pk}", {"vehicle_id": str(other.uuid)})
    assert answer.json()["vehicle_id"] == other.pk
    assert list(Vehicle.objects.order_by("pk").values_list("current_mileage", flat=True)) == [1000, 2000]


def test_an_event_cannot_move_to_nowhere(api):
    vehicle = make_vehicle([1000])
    answer = api("patch", f"/{vehicle.pk}/events/{vehicle.events.get().pk}", {"vehicle_id": 4_000_000})
    assert (answer.status_code, fields(answer)) == (404, ["vehicle_id"])


def test_an_event_is_deleted_restored_and_deleted_for_good(api):
    vehicle = make_vehicle([1000, 2000])
    path = f"/{vehicle.pk}/events/{vehicle.events.get(miles=2000).pk}"
    assert api("delete", path).status_code == 204
    assert Vehicle.objects.get().current_mileage == 1000
    assert api("post", f"{path}/restore").json()["deleted_at"] is None
    assert Vehicle.objects.get().current_mileage == 2000
    assert api("delete", f"{path}?for_good=true").status_code == 204
    assert (Vehicle.objects.get().current_mileage, api("get", path).status_code) == (1000, 404)


def test_the_fleet_comes_in_pages(api):
    vehicles = [make_vehicle() for _ in range(3)]
    found = api("get", "?limit=2").json()
    assert ([v["id"] for v in found["vehicles"]], found["next_offset"]) == ([v.pk for v in vehicles[:2]], 2)


# History, anomalies, reminders


def test_the_history_as_json(api):
    vehicle = make_vehicle([1000, 1100])
    found = api("get", f"/{vehicle.pk}/mileage/history").json()
    assert ([r["miles"] for r in found["readings"]], found["distance"]) == ([1000, 1100], 100)
    assert found["months"] == [{"month": "2026-03", "miles": 100.0}]
    assert [(c["old"], c["new"]) for c in found["changes"]] == [(0, 1000), (1000, 1100)]


def test_the_history_as_csv(api):
    vehicle = make_vehicle([1000])
    answer = api("get", f"/{vehicle.pk}/mileage/history?format=csv")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.content.decode() == (
        "occurred_at,miles,distance,odometer,type,source,event\n"
        f"2026-03-02T08:00:00+00:00,1000,0,1,odometer,manual,{vehicle.events.get().pk}\n"
    )


def test_another_format_is_named(api):
    answer = api("get", f"/{make_vehicle().pk}/mileage/history?format=xml")
    assert (answer.status_code, fields(answer)) == (422, ["format"])


def test_anomalies_are_listed_with_a_suggestion_accepted_and_corrected(api):
    vehicle = make_vehicle([10_000, 101_000, 10_200])
    typo = vehicle.events.get(miles=101_000)
    found = api("get", f"/{vehicle.pk}/anomalies").json()["anomalies"]
    assert [(a["rule"], a["miles"], a["suggested"]) for a in found] == [
        ("vehicles.readings_grow", 101_000, None),
        ("vehicles.readings_grow", 10_200, None),
        ("vehicles.readings_not_mistyped", 101_000, 10_100),
    ]
    answer = api("post", f"/{vehicle.pk}/anomalies/correct", {"event_id": typo.pk, "miles": 10_100, "reason": "typo"})
    assert answer.json()["miles"] == 10_100
    assert api("get", f"/{vehicle.pk}/anomalies").json() == {"anomalies": []}


def test_an_accepted_anomaly_is_no_longer_listed(api):
    vehicle = make_vehicle([2000, 1000])
    event = vehicle.events.get(miles=1000)
    answer = api("post", f"/{vehicle.pk}/anomalies/accept", {"event_id": event.pk, "reason": "read in another unit"})
    assert answer.json() == {"success": True, "rules": ["vehicles.readings_grow"]}
    assert api("get", f"/{vehicle.pk}/anomalies").json() == {"anomalies": []}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": " "}, "reason"),
        ({"reason": "so", "until": "2020-01-01T00:00:00Z"}, "until"),
    ],
)
def test_accepting_needs_a_reason_and_a_future(api, body, field):
    vehicle = make_vehicle([2000, 1000])
    event = vehicle.events.get(miles=1000)
    answer = api("post", f"/{vehicle.pk}/anomalies/accept", {"event_id": event.pk} | body)
    assert (answer.status_code, fields(answer)) == (422, [field])


def test_what_is_right_cannot_be_accepted(api):
    vehicle = make_vehicle([1000])
    answer = api("post", f"/{vehicle.pk}/anomalies/accept", {"event_id": vehicle.events.get().pk, "reason": "so"})
    assert (answer.status_code, fields(answer)) == (422, ["event_id"])


def test_reminders_that_are_due(api):
    vehicle = make_vehicle([10_000])
    ServiceReminder.objects.create(vehicle=vehicle, title="Oil", due_miles=10_000)
    ServiceReminder.objects.create(vehicle=vehicle, title="Belt", due_miles=90_000)
    (found,) = api("get", "/reminders/due").json()["reminders"]
    assert (found["title"], found["state"], found["miles_left"], found["prediction"]) == ("Oil", "due", 0, None)
    assert len(api("get", f"/reminders/due?state=all&vehicle={vehicle.pk}").json()["reminders"]) == 2
    assert api("get", "/reminders/due?vehicle=4000000").status_code == 404
