"""The commands: exit codes, one JSON object, sentences for what is wrong."""

import pytest
from django.core import mail

from integrity.models import Run
from tests.command_line import manage
from tests.vehicles.factories import make_vehicle
from tests.vehicles.test_audit import drift
from tests.vehicles.test_reminders import refuse
from vehicles import reminders
from vehicles.models import MileageChange, ServiceReminder, Vehicle

pytestmark = pytest.mark.django_db


def mileages():
    return list(Vehicle.objects.order_by("pk").values_list("current_mileage", "mileage_computed_from"))


@pytest.mark.parametrize("command", ["backfill_mileage", "check_mileage_anomalies", "send_service_reminders"])
def test_help_shows_an_example(command):
    done = manage(command, "--help")
    assert (done.code, f"Example: manage.py {command}" in done.words) == (0, True)


@pytest.mark.parametrize("command", ["backfill_mileage", "check_mileage_anomalies"])
@pytest.mark.parametrize(
    ("vehicle", "sentence"),
    [
        ("4000000", "There is no vehicle 4000000."),
        ("00000000-0000-4000-8000-000000000000", "There is no vehicle 00000000-0000-4000-8000-000000000000."),
        ("van", "'van' is neither the number of a vehicle nor its uuid"),
        ("0", "'0' is neither the number of a vehicle nor its uuid"),
    ],
)
def test_an_unknown_vehicle_is_a_usage_error(command, vehicle, sentence):
    done = manage(command, "--vehicle", vehicle, "--format", "json")
    assert (done.code, done.json["status"]) == (2, "refused")
    assert sentence in done.json["error"]


# Backfill


def test_a_backfill_repairs_every_wrong_value_at_once():
    for readings, stored in (([1000], 0), ([2000], 7), ([], 5), ([3000], 3000)):
        drift(make_vehicle(readings), stored)
    done = manage("backfill_mileage", "--format", "json", "--reason", "first time")
    assert (done.code, done.json["changes"]) == (0, 3)
    assert mileages() == [(1000, "event"), (2000, "event"), (0, "none"), (3000, "event")]
    assert Run.objects.latest("id").reason == "first time"


def test_a_backfill_of_what_is_right_writes_nothing():
    make_vehicle([1000])
    before = MileageChange.objects.count()
    done = manage("backfill_mileage", "--format", "json")
    assert (done.code, done.json["changes"], MileageChange.objects.count()) == (0, 0, before)


def test_a_fleet_without_any_event_is_filled_in_with_what_it_began_with():
    drift(make_vehicle(initial_mileage=30_000), 0)
    drift(make_vehicle(current_mileage_override=7), 0)
    make_vehicle()
    assert manage("backfill_mileage").code == 0
    assert mileages() == [(30_000, "manual"), (7, "override"), (0, "none")]


def test_a_mileage_that_no_event_and_nothing_else_says_is_not_lost_where_the_log_is():
    drift(make_vehicle(initial_mileage=30_000), 31_000)
    drift(make_vehicle(), 77_000)
    done = manage("backfill_mileage", "--format", "json")
    assert (done.code, done.json["status"], done.json["changes"]) == (3, "refused", 0)
    assert "current_mileage_override, initial_mileage" in done.json["rules"][0]["error"]


def test_a_dry_run_of_a_backfill_says_what_would_change():
    drift(make_vehicle([1000]), 7)
    done = manage("backfill_mileage", "--dry-run", "--format", "json")
    assert (done.code, done.json["changes"], mileages()) == (1, 1, [(7, "event")])


def test_a_backfill_of_one_vehicle_leaves_the_others():
    one, other = make_vehicle([1000]), make_vehicle([2000])
    drift(one, 7)
    drift(other, 8)
    assert manage("backfill_mileage", "--vehicle", one.uuid).code == 0
    assert mileages() == [(1000, "event"), (8, "event")]


def test_a_backfill_beyond_the_brake_is_stopped_and_says_how_to_go_on(settings):
    settings.INTEGRITY = {"MAX_AFFECTED_ROWS": 1}
    for _ in range(3):
        drift(make_vehicle([1000]), 7)
    done = manage("backfill_mileage")
    assert (done.code, mileages()[0]) == (3, (7, "event"))
    assert "--max-affected 3" in done.words
    assert manage("backfill_mileage", "--max-affected", "100%").code == 2
    assert manage("backfill_mileage", "--max-affected", "100%", "--yes").code == 0
    assert mileages() == [(1000, "event")] * 3


def test_a_backfill_can_be_undone():
    drift(make_vehicle([1000]), 7)
    run = manage("backfill_mileage", "--format", "json").json["run"]
    assert manage("integrity", "undo", run).code == 0


# Anomalies


def test_without_anomalies_all_is_well():
    make_vehicle([1000, 1100])
    done = manage("check_mileage_anomalies", "--format", "json")
    assert (done.code, done.json["status"]) == (0, "clean")
    assert [rule["rule"].partition(".")[2] for rule in done.json["rules"]] == [
        "readings_grow",
        "readings_not_mistyped",
        "override_is_current",
    ]


def test_anomalies_are_listed_and_end_with_1():
    vehicle = make_vehicle([10_000, 101_000, 10_200])
    done = manage("check_mileage_anomalies", "--format", "json")
    typed = vehicle.events.get(miles=101_000).pk
    assert done.code == 1
    assert done.json["rules"][1]["sample"] == [
        {
            "key": {"id": typed},
            "actual": 101_000,
            "expected": 10_100,
            "evidence": {"suggested": 10_100, "why": "ten times too high", "previous": 10_000, "next": 10_200},
        }
    ]


def test_anomalies_of_one_vehicle():
    make_vehicle([10_000, 5])
    assert manage("check_mileage_anomalies", "--vehicle", make_vehicle([5]).pk).code == 0


def test_anomalies_are_told_with_the_next_step():
    make_vehicle([10_000, 5])
    done = manage("check_mileage_anomalies")
    assert "one before" in done.words
    assert "A person accepts or corrects them" in done.words


# Reminders


def remind(email="ann@example.org", **fields):
    vehicle = make_vehicle([10_000], name="Van")
    return ServiceReminder.objects.create(vehicle=vehicle, title="Oil", due_miles=10_000, email=email, **fields)


def test_reminders_are_sent_once():
    reminder = remind()
    done = manage("send_service_reminders", "--format", "json")
    assert done.code == 0
    assert done.json["sent"] == [
        {
            "reminder": reminder.pk,
            "vehicle": reminder.vehicle_id,
            "title": "Oil",
            "state": "due",
            "to": "ann@example.org",
        }
    ]
    assert manage("send_service_reminders", "--format", "json").json["sent"] == []
    assert len(mail.outbox) == 1


def test_a_dry_run_of_reminders_ends_with_1_and_sends_nothing():
    remind()
    done = manage("send_service_reminders", "--dry-run", "--format", "csv")
    assert (done.code, mail.outbox) == (1, [])
    assert done.out.splitlines()[0] == "what,reminder,vehicle,title,state,to,why"
    assert ",Van,Oil,due,ann@example.org," in done.out


def test_a_reminder_for_nobody_is_told_to_the_operator():
    remind(email="")
    done = manage("send_service_reminders")
    assert (done.code, "nobody to write to" in done.words) == (0, True)


def test_a_mail_that_cannot_be_sent_ends_with_3(monkeypatch):
    remind()
    monkeypatch.setattr(reminders, "send_mail", refuse)
    done = manage("send_service_reminders", "--format", "json")
    assert (done.code, done.json["status"]) == (3, "failed")
    assert "refused" in done.json["failed"][0]["error"]


def test_without_reminders_there_is_nothing_to_send():
    done = manage("send_service_reminders")
    assert (done.code, done.words) == (0, "Nothing to send.")
