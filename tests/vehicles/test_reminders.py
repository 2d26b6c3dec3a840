"""What is due, when the rest will be, and that everybody is told once."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.core import mail
from django.db import IntegrityError

from tests.vehicles.factories import day, make_event, make_vehicle, replace_odometer
from vehicles import reminders
from vehicles.exceptions import Unknown
from vehicles.history import Reading
from vehicles.models import ServiceReminder
from vehicles.rates import Rate, predict, rate_of, recent_rates

pytestmark = pytest.mark.django_db

NOW = day(100)


def remind(vehicle, title="Oil change", **fields):
    return ServiceReminder.objects.create(vehicle=vehicle, title=title, **{"email": "ann@example.org"} | fields)


def states(**options):
    return {s.reminder.title: s.state.value for s in reminders.statuses(now=NOW, **options)}


# Due


@pytest.mark.parametrize(
    ("due", "state"),
    [(9999, "due"), (10_000, "due"), (10_001, "soon"), (10_500, "soon"), (10_501, "upcoming")],
)
def test_by_mileage(due, state):
    remind(make_vehicle([10_000]), due_miles=due)
    assert states() == {"Oil change": state}


@pytest.mark.parametrize(("left", "state"), [(-1, "due"), (0, "due"), (1, "soon"), (14, "soon"), (15, "upcoming")])
def test_by_day(left, state):
    remind(make_vehicle(), due_on=NOW.date() + timedelta(days=left))
    assert states() == {"Oil change": state}


def test_whichever_comes_first():
    remind(make_vehicle([10_000]), due_miles=90_000, due_on=NOW.date())
    assert states() == {"Oil change": "due"}


def test_an_override_counts_as_the_mileage_does():
    remind(make_vehicle([10_000], current_mileage_override=20_000), due_miles=20_000)
    assert states() == {"Oil change": "due"}


def test_what_is_done_is_no_longer_due():
    reminder = remind(make_vehicle([10_000]), due_miles=5)
    reminders.complete(reminder.pk)
    assert states() == {}
    with pytest.raises(Unknown, match="There is no open reminder"):
        reminders.complete(reminder.pk)


def test_the_most_urgent_comes_first():
    vehicle = make_vehicle([10_000])
    remind(vehicle, "later", due_miles=50_000)
    remind(vehicle, "soon", due_miles=10_100)
    remind(vehicle, "now", due_miles=10_000)
    assert list(states()) == ["now", "soon", "later"]


def test_a_reminder_is_due_some_time():
    with pytest.raises(IntegrityError, match="service_reminder_is_due_some_time"):
        remind(make_vehicle())


# When


def readings(*pairs):
    return [Reading(day(passed), miles, miles, 1, "odometer", "manual", 1) for passed, miles in pairs]


def test_a_steady_rate_is_sure():
    rate = rate_of(readings((0, 1000), (10, 1300), (20, 1600)))
    assert (rate.per_day, rate.error) == (pytest.approx(30), pytest.approx(0, abs=1e-9))
    found = predict(rate, 1600, 1900)
    assert (found.on, found.earliest, found.latest) == (day(30).date(),) * 3


def test_an_unsteady_rate_is_uncertain():
    rate = rate_of(readings((0, 1000), (10, 1100), (20, 1700), (30, 1800)))
    found = predict(rate, 1800, 2800)
    assert found.earliest < found.on < found.latest


def test_two_readings_cannot_tell_how_sure_they_are():
    rate = rate_of(readings((0, 1000), (10, 1300)))
    assert (rate.per_day, rate.error) == (30, None)
    assert predict(rate, 1300, 1600).earliest is None


def test_a_vehicle_that_may_stand_still_has_no_latest_day():
    rate = Rate(per_day=10, error=6, readings=4, until=NOW)
    found = predict(rate, 0, 100)
    assert (found.on, found.latest) == ((NOW + timedelta(days=10)).date(), None)
    assert reminders.told_in_words(found).endswith(f"and not before {found.earliest}.")


@pytest.mark.parametrize("pairs", [[], [(0, 5)], [(0, 5), (0, 9)], [(0, 5), (9, 5)]])
def test_without_two_readings_at_two_times_there_is_no_rate(pairs):
    assert rate_of(readings(*pairs)) is None


def test_a_copied_reading_is_no_evidence_of_standing_still():
    steady = rate_of(readings((0, 1000), (10, 1300)))
    copied = rate_of(readings((0, 1000), (10, 1300), (20, 1300), (30, 1300)))
    assert copied == steady


def test_a_vehicle_that_is_not_driven_never_gets_there():
    assert predict(Rate(0, 0, 3, NOW), 5, 10) is None
    assert predict(Rate(-1, 0, 3, NOW), 5, 10) is None
    assert predict(Rate(0.0001, 0, 3, NOW), 0, 1_000_000) is None


def test_only_recent_readings_tell_the_rate():
    pairs = [(0, 0), (100, 50_000), *((400 + passed, 50_000 + 10 * passed) for passed in range(0, 100, 10))]
    assert rate_of(readings(*pairs)).per_day == pytest.approx(10)


def test_the_rate_goes_on_over_a_new_odometer():
    vehicle = make_vehicle([90_000, 90_030])
    replace_odometer(vehicle, 2, 0, replaced=90_060)
    make_event(vehicle, 3, 30)
    (rate,) = recent_rates([vehicle.pk], NOW).values()
    assert rate.per_day == pytest.approx(30)


def test_rates_of_a_fleet_take_two_statements(django_assert_num_queries):
    vehicles = [make_vehicle([1, 2, 3]).pk for _ in range(5)]
    with django_assert_num_queries(2):
        assert len(recent_rates(vehicles, NOW)) == 5


def test_statuses_of_a_fleet_take_three_statements(django_assert_num_queries):
    for _ in range(4):
        remind(make_vehicle([1000, 1100, 1200]), due_miles=5000)
    with django_assert_num_queries(3):
        found = reminders.statuses(now=NOW)
    assert {s.prediction.on for s in found} == {day(40).date()}


def test_a_prediction_counts_from_the_current_mileage():
    remind(make_vehicle([1000, 1100, 1200], current_mileage_override=4900), due_miles=5000)
    (found,) = reminders.statuses(now=NOW)
    assert found.expected_on == day(3).date()


# Told


def sent(**options):
    notices = reminders.send_reminders(now=NOW, **options)
    return [status.reminder.title for status in notices.sent]


def test_each_state_is_told_once():
    vehicle = make_vehicle([10_000])
    remind(vehicle, due_miles=10_400)
    assert (sent(), sent()) == (["Oil change"], [])
    make_event(vehicle, 5, 10_400)
    assert (sent(), sent()) == (["Oil change"], [])
    assert [message.subject for message in mail.outbox] == [
        f"{vehicle}: Oil change is due soon",
        f"{vehicle}: Oil change is due",
    ]
    assert mail.outbox[0].to == ["ann@example.org"]


def test_what_was_due_at_once_is_not_said_to_be_soon_later():
    vehicle = make_vehicle([10_000])
    remind(vehicle, due_miles=10_000)
    assert sent() == ["Oil change"]
    vehicle.events.update(miles=9900)
    assert sent() == []


def test_a_dry_run_tells_nobody():
    remind(make_vehicle([10_000]), due_miles=10_000)
    assert sent(dry_run=True) == ["Oil change"]
    assert (mail.outbox, ServiceReminder.objects.get().told) == ([], "upcoming")


def test_without_an_address_nobody_is_told():
    remind(make_vehicle([10_000]), due_miles=10_000, email="")
    notices = reminders.send_reminders(now=NOW)
    assert (len(notices.without_address), notices.sent, mail.outbox) == (1, [], [])


def test_a_mail_that_cannot_be_sent_is_tried_again(monkeypatch):
    remind(make_vehicle([10_000]), due_miles=10_000)
    with monkeypatch.context() as broken:
        broken.setattr(reminders, "send_mail", refuse)
        notices = reminders.send_reminders(now=NOW)
    assert (notices.sent, [why for _, why in notices.failed]) == ([], ["connection refused"])
    assert sent() == ["Oil change"]


def refuse(*_):
    raise ConnectionRefusedError("connection refused")


def test_a_mail_says_what_is_due_and_when():
    vehicle = make_vehicle([1000, 1100, 1200], name="Van")
    remind(vehicle, due_miles=1300, due_on=date(2026, 6, 20))
    sent()
    assert mail.outbox[0].body == (
        "Oil change for Van\n"
        "\n"
        "Due at 1,300 miles; the odometer reads 1,200 (100 miles left).\n"
        "Due on 2026-06-20 (10 days left).\n"
        "At 100 miles a day, as recently driven, it is reached about 2026-03-05, between 2026-03-05 and 2026-03-05."
    )


def test_a_name_of_several_lines_is_one_subject():
    remind(make_vehicle([10], name="Van\nBcc: all@example.org"), "Oil\r\nchange", due_miles=5)
    sent()
    assert mail.outbox[0].subject == "Van Bcc: all@example.org: Oil change is due"


def test_the_day_is_that_of_the_project(settings):
    settings.TIME_ZONE = "Pacific/Auckland"
    remind(make_vehicle(), due_on=date(2026, 3, 3), soon_days=0)
    (found,) = reminders.statuses(now=datetime(2026, 3, 2, 20, tzinfo=UTC))
    assert found.state == "due"
