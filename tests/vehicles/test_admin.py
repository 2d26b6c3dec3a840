"""The administration: overrides with a reason, the queue of anomalies, the log, the history with its charts."""

import re

import pytest
from django.contrib.auth.models import Permission, User
from django.urls import reverse
from django.utils import timezone

from tests.vehicles.factories import day, make_event, make_vehicle, replace_odometer
from vehicles.anomalies import check_anomalies
from vehicles.chart import bars, line, nice
from vehicles.history import Month, history
from vehicles.models import (
    Anomaly,
    MileageChange,
    MileageOverride,
    ReadingCorrection,
    ServiceReminder,
    Vehicle,
    VehicleEvent,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann(client):
    user = User.objects.create(username="ann", is_staff=True, is_superuser=True)
    client.force_login(user)
    return client


def page(name, *args):
    return reverse(f"admin:vehicles_{name}", args=args)


def values(vehicle, **changed):
    """What the form of a vehicle sends."""
    fields = ("name", "make", "model", "year", "vin", "initial_mileage", "current_mileage_override")
    sent = {field: getattr(vehicle, field) for field in fields} | changed
    return {field: "" if value is None else value for field, value in sent.items()}


def errors(answer):
    return answer.context["adminform"].form.errors


@pytest.mark.parametrize(
    "model",
    ["vehicle", "vehicleevent", "mileageoverride", "mileagechange", "readingcorrection", "anomaly", "servicereminder"],
)
def test_every_list_opens(ann, model):
    vehicle = make_vehicle([10_000, 101_000, 10_200], current_mileage_override=5)
    ServiceReminder.objects.create(vehicle=vehicle, title="Oil", due_miles=5)
    vehicle.events.filter(miles=10_200).update(miles=10_300)
    check_anomalies()
    answer = ann.get(page(f"{model}_changelist"))
    assert answer.status_code == 200
    assert vehicle.name in answer.content.decode()
    row = answer.context["cl"].result_list[0]
    assert ann.get(page(f"{model}_change", row.pk)).status_code == 200


@pytest.mark.parametrize("audit", [MileageOverride, MileageChange, ReadingCorrection])
def test_the_audit_is_to_be_read_alone(ann, audit):
    make_vehicle([1000], current_mileage_override=5).events.update(miles=900)
    row, model = audit.objects.first(), audit._meta.model_name
    assert ann.get(page(f"{model}_add")).status_code == 403
    assert ann.post(page(f"{model}_change", row.pk), {"reason": "x"}).status_code == 403
    assert ann.post(page(f"{model}_delete", row.pk), {"post": "yes"}).status_code == 403


# Vehicles


def test_an_override_needs_a_reason(ann):
    vehicle = make_vehicle([1000])
    answer = ann.post(page("vehicle_change", vehicle.pk), values(vehicle, current_mileage_override=5))
    assert errors(answer) == {"override_reason": ["Say why: the override is kept with its reason."]}
    assert Vehicle.objects.get().current_mileage == 1000


def test_an_override_is_set_and_cleared_with_a_reason(ann):
    vehicle = make_vehicle([1000])
    path = page("vehicle_change", vehicle.pk)
    ann.post(path, values(vehicle, current_mileage_override=5, override_reason="Odometer replaced"))
    assert Vehicle.objects.get().current_mileage == 5
    ann.post(path, values(vehicle, current_mileage_override="", override_reason="read again"))
    assert Vehicle.objects.get().current_mileage == 1000
    kept = MileageOverride.objects.order_by("id").values_list("mileage", "previous", "reason", "author")
    assert list(kept) == [(5, None, "Odometer replaced", "ann"), (None, 5, "read again", "ann")]


def test_a_renamed_vehicle_keeps_its_override_without_a_reason(ann):
    vehicle = make_vehicle([1000], current_mileage_override=5)
    ann.post(page("vehicle_change", vehicle.pk), values(vehicle, name="Van"))
    found = Vehicle.objects.get()
    assert (found.name, found.current_mileage, MileageOverride.objects.count()) == ("Van", 5, 1)


@pytest.mark.parametrize("mileage", [-1, 1_000_001, "many"])
def test_an_override_out_of_range_is_named(ann, mileage):
    vehicle = make_vehicle()
    sent = values(vehicle, current_mileage_override=mileage, override_reason="so")
    assert list(errors(ann.post(page("vehicle_change", vehicle.pk), sent))) == ["current_mileage_override"]


def test_a_vehicle_is_added_with_its_first_mileage(ann):
    sent = {"name": "Van", "initial_mileage": 500, "vin": "", "make": "", "model": "", "year": ""}
    assert ann.post(page("vehicle_add"), sent).status_code == 302
    assert Vehicle.objects.get().current_mileage == 500


def test_a_vin_is_taken_once_whatever_its_case(ann):
    make_vehicle(vin="WVW1")
    make_vehicle(vin="")
    sent = {"name": "Van", "vin": "wvw1"}
    assert "Another vehicle has this VIN." in str(errors(ann.post(page("vehicle_add"), sent)))
    assert ann.post(page("vehicle_add"), {"name": "Van", "vin": ""}).status_code == 302


def test_a_vehicle_is_not_deleted(ann):
    assert ann.post(page("vehicle_delete", make_vehicle().pk), {"post": "yes"}).status_code == 403


# The log


def event_values(vehicle, **changed):
    sent = {
        "vehicle": vehicle.pk,
        "type": "odometer",
        "occurred_at_0": "2026-03-09",
        "occurred_at_1": "08:00",
        "source": "manual",
    }
    return sent | changed


def test_an_event_is_entered_changed_moved_deleted_and_restored(ann):
    vehicle, other = make_vehicle([1000]), make_vehicle()
    ann.post(page("vehicleevent_add"), event_values(vehicle, miles=1700))
    event = VehicleEvent.objects.get(miles=1700)
    path = page("vehicleevent_change", event.pk)
    ann.post(path, event_values(vehicle, miles=1100, reason="read wrong"))
    correction = ReadingCorrection.objects.get()
    assert (correction.old, correction.new, correction.reason, correction.who) == (1700, 1100, "read wrong", "ann")
    ann.post(path, event_values(other, miles=1100))
    assert list(Vehicle.objects.order_by("pk").values_list("current_mileage", flat=True)) == [1000, 1100]
    ann.post(page("vehicleevent_delete", event.pk), {"post": "yes"})
    assert Vehicle.objects.get(pk=other.pk).current_mileage == 0
    ann.post(page("vehicleevent_changelist"), {"action": "restore", "_selected_action": [event.pk]})
    assert Vehicle.objects.get(pk=other.pk).current_mileage == 1100


def test_what_an_event_cannot_say_is_named(ann):
    answer = ann.post(page("vehicleevent_add"), event_values(make_vehicle(), type="odometer_replacement"))
    assert "Enter in miles what the new odometer reads." in str(errors(answer))


# Anomalies


@pytest.fixture
def mistyped():
    vehicle = make_vehicle([10_000, 101_000, 10_200])
    check_anomalies()
    return Anomaly.objects.get(rule="vehicles.readings_not_mistyped", key={"id": vehicle.events.get(miles=101_000).pk})


def test_the_queue_shows_what_is_open_with_a_suggestion(ann, mistyped):
    answer = ann.get(page("anomaly_changelist"))
    assert "10,100" in answer.content.decode()
    assert answer.context["cl"].result_count == 3
    form = ann.get(page("anomaly_change", mistyped.pk)).context["adminform"].form
    assert form.initial["miles"] == 10_100


def test_a_person_corrects(ann, mistyped):
    ann.post(page("anomaly_change", mistyped.pk), {"decision": "correct", "miles": 10_100, "reason": "typo"})
    assert ReadingCorrection.objects.get().who == "ann"
    assert ann.get(page("anomaly_changelist")).context["cl"].result_count == 0


def test_a_person_accepts(ann, mistyped):
    ann.post(page("anomaly_change", mistyped.pk), {"decision": "accept", "reason": "so it is"})
    mistyped.refresh_from_db()
    assert (mistyped.status, mistyped.accepted_by, mistyped.accepted_because) == ("accepted", "ann", "so it is")
    assert not ReadingCorrection.objects.exists()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({"decision": "accept"}, "reason"),
        ({"decision": "correct", "miles": "", "reason": "so"}, "miles"),
        ({"decision": "correct", "miles": 1_000_001, "reason": "so"}, "miles"),
        ({"decision": "accept", "reason": "so", "until_0": "2020-01-01", "until_1": "00:00"}, "until"),
        ({"reason": "so"}, "decision"),
    ],
)
def test_what_a_decision_lacks_is_named(ann, mistyped, sent, field):
    assert field in errors(ann.post(page("anomaly_change", mistyped.pk), sent))


def test_what_was_deleted_meanwhile_is_told(ann, mistyped):
    VehicleEvent.objects.get(miles=101_000).delete()
    sent = {"decision": "correct", "miles": 5, "reason": "so"}
    answer = ann.post(page("anomaly_change", mistyped.pk), sent, follow=True)
    assert "has been deleted" in answer.content.decode()


# Reminders


def test_a_reminder_is_done(ann):
    reminder = ServiceReminder.objects.create(vehicle=make_vehicle([5]), title="Oil", due_miles=5)
    ann.post(page("servicereminder_changelist"), {"action": "mark_as_done", "_selected_action": [reminder.pk]})
    reminder.refresh_from_db()
    assert reminder.done_at is not None


# History and charts


def test_the_history_shows_both_charts_and_everything_known(ann):
    vehicle = make_vehicle([10_000, 101_000, 10_200], name="<Van>")
    replace_odometer(vehicle, 4, 0, replaced=10_300)
    make_event(vehicle, 40, 900)
    ServiceReminder.objects.create(vehicle=vehicle, title="Oil", due_miles=5000)
    Vehicle.objects.filter(pk=vehicle.pk).update(current_mileage_override=950)
    html = ann.get(page("vehicle_mileage", vehicle.pk)).content.decode()
    assert html.count("<polyline") == 2
    assert html.count('class="month"') == 2
    assert "2026-03-03: 101,000 miles" in html
    assert "950 miles, said by" in html
    assert "most likely meant" in html.lower()
    assert "Oil" in html
    assert "<Van>" not in html
    assert 'style="' not in html[html.index('<div class="mileage">') : html.rindex("</svg>")]


def test_a_vehicle_without_readings_has_a_page(ann):
    assert "No readings yet." in ann.get(page("vehicle_mileage", make_vehicle().pk)).content.decode()
    assert ann.get(page("vehicle_mileage", 4_000_000)).status_code == 404


def test_the_history_is_for_those_who_may_see_vehicles(client):
    user = User.objects.create(username="bob", is_staff=True)
    client.force_login(user)
    path = page("vehicle_mileage", make_vehicle([5]).pk)
    assert client.get(path).status_code == 404
    user.user_permissions.add(Permission.objects.get(codename="view_vehicle"))
    assert client.get(path).status_code == 200


def test_a_chart_lies_within_its_frame():
    vehicle = make_vehicle([0, 5, None, 999_999], current_mileage_override=1_000_000)
    drawn = line(history(vehicle.pk))
    points = [tuple(map(float, point.split(","))) for path in drawn.paths for point in path.split()]
    assert all(drawn.left <= x <= drawn.width and 0 <= y <= drawn.bottom for x, y in points)
    assert len(drawn.overrides) == 1


def test_a_mistyped_reading_does_not_flatten_the_others():
    vehicle = make_vehicle([50_000, 501_000, 50_200])
    typed = vehicle.events.get(miles=501_000).pk
    drawn = line(history(vehicle.pk), {typed})
    assert (len(drawn.readings), len(drawn.suspects), drawn.up[-1].text) == (2, 1, "60,000")
    assert drawn.suspects[0].y == drawn.up[-1].y


def test_one_reading_is_drawn_in_the_middle():
    drawn = line(history(make_vehicle([5]).pk))
    assert re.fullmatch(r"4\d\d\.0,.*", drawn.paths[0])


def test_a_month_that_went_backwards_has_no_bar():
    drawn = bars([Month("2026-01", -50.0), Month("2026-02", 100.0)])
    assert [bar.height for bar in drawn.bars] == [0, drawn.bars[1].height]


@pytest.mark.parametrize(("most", "top"), [(0, 4), (3, 4), (7, 8), (10, 10), (101, 200), (77_000, 80_000)])
def test_the_top_of_a_chart_is_a_short_number(most, top):
    assert nice(most) == top


def test_deleted_entries_are_told_apart(ann):
    vehicle = make_vehicle([1, 2])
    vehicle.events.filter(miles=2).update(deleted_at=timezone.now())
    counts = [
        ann.get(page("vehicleevent_changelist"), {"deleted": chosen}).context["cl"].result_count
        for chosen in ("yes", "no")
    ]
    assert counts == [1, 1]
    assert day(1) == vehicle.events.get(miles=2).occurred_at
