"""Service reminders: what is due or soon, when the rest will be, and who is written to, once for each state."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from django.core.mail import send_mail
from django.db import transaction
from django.utils import timezone

from vehicles.exceptions import Unknown
from vehicles.models import ServiceReminder, Vehicle
from vehicles.rates import Prediction, predict, recent_rates

State = ServiceReminder.State
RANK = {State.UPCOMING: 0, State.SOON: 1, State.DUE: 2}


@dataclass(frozen=True)
class Status:
    """A reminder as it is today, and why."""

    reminder: ServiceReminder
    vehicle: Vehicle
    state: ServiceReminder.State
    miles_left: int | None
    days_left: int | None
    prediction: Prediction | None

    @property
    def expected_on(self) -> date | None:
        """The day on which it is due, or most likely will be."""
        days = [day for day in (self.reminder.due_on, self.prediction and self.prediction.on) if day]
        return min(days, default=None)


@dataclass
class Notices:
    """What became of the reminders that somebody should hear of."""

    sent: list[Status] = field(default_factory=list)
    without_address: list[Status] = field(default_factory=list)
    failed: list[tuple[Status, str]] = field(default_factory=list)


def statuses(
    vehicles: Iterable[int] | None = None, *, now: datetime | None = None, states: Sequence[str] = ()
) -> list[Status]:
    """Open reminders, the most urgent first; of some vehicles or of all, in some states or in any."""
    now = now or timezone.now()
    open_ones = ServiceReminder.objects.filter(done_at=None).select_related("vehicle")
    if vehicles is not None:
        open_ones = open_ones.filter(vehicle__in=list(vehicles))
    reminders = list(open_ones.order_by("id"))
    rates = recent_rates({r.vehicle_id for r in reminders if r.due_miles is not None}, now)
    found = []
    for reminder in reminders:
        prediction = None
        if reminder.due_miles is not None:
            current = reminder.vehicle.current_mileage
            prediction = predict(rates.get(reminder.vehicle_id), current, reminder.due_miles)
        found.append(status(reminder, timezone.localdate(now), prediction))
    wanted = [s for s in found if not states or s.state in states]
    return sorted(wanted, key=lambda s: (-RANK[s.state], s.expected_on or date.max, s.reminder.pk))


def status(reminder: ServiceReminder, today: date, prediction: Prediction | None = None) -> Status:
    """How a reminder stands; it is due by mileage or by day, whichever comes first."""
    vehicle = reminder.vehicle
    miles = None if reminder.due_miles is None else reminder.due_miles - vehicle.current_mileage
    days = None if reminder.due_on is None else (reminder.due_on - today).days
    state = State.UPCOMING
    if _within(miles, reminder.soon_miles) or _within(days, reminder.soon_days):
        state = State.SOON
    if _within(miles, 0) or _within(days, 0):
        state = State.DUE
    return Status(reminder, vehicle, state, miles, days, prediction)


def _within(left: int | None, limit: int) -> bool:
    return left is not None and left <= limit


def complete(reminder: int) -> ServiceReminder:
    """It has been done: it is no longer due. Raises Unknown."""
    if not ServiceReminder.objects.filter(pk=reminder, done_at=None).update(done_at=timezone.now()):
        raise Unknown(f"There is no open reminder {reminder}.", "reminder")
    return ServiceReminder.objects.get(pk=reminder)


def send_reminders(*, dry_run: bool = False, now: datetime | None = None) -> Notices:
    """Write once for each state that a reminder comes to, soon and due, to whom it may concern.

    A mail that cannot be sent is tried again the next time. dry_run: nothing is sent or noted.
    """
    notices = Notices()
    for found in statuses(now=now, states=(State.SOON, State.DUE)):
        if RANK[found.state] <= RANK[State(found.reminder.told)]:
            continue
        if not found.reminder.email:
            notices.without_address.append(found)
        elif dry_run:
            notices.sent.append(found)
        else:
            _send(found, notices)
    return notices


def _send(found: Status, notices: Notices) -> None:
    # The row is locked while the mail is sent, so that of two senders at a time only one sends it.
    with transaction.atomic():
        rows = ServiceReminder.objects.select_for_update(skip_locked=True)
        untold = rows.filter(pk=found.reminder.pk, told=found.reminder.told, done_at=None)
        if not untold.exists():
            return
        try:
            send_mail(subject(found), text(found), None, [found.reminder.email])
        except OSError as error:
            notices.failed.append((found, str(error) or type(error).__name__))
            return
        untold.update(told=found.state, told_at=timezone.now())
        notices.sent.append(found)


def subject(found: Status) -> str:
    """One line, whatever somebody called it."""
    when = "is due" if found.state is State.DUE else "is due soon"
    return " ".join(f"{found.vehicle}: {found.reminder.title} {when}".split())


def text(found: Status) -> str:
    """What is due, why, and when it will be."""
    lines = [f"{found.reminder.title} for {found.vehicle}", ""]
    if found.miles_left is not None:
        lines.append(
            f"Due at {found.reminder.due_miles:,} miles; the odometer reads {found.vehicle.current_mileage:,}"
            f" ({_left(found.miles_left, 'mile')})."
        )
    if found.days_left is not None:
        lines.append(f"Due on {found.reminder.due_on} ({_left(found.days_left, 'day')}).")
    if found.prediction and (found.miles_left or 0) > 0:
        lines.append(told_in_words(found.prediction))
    return "\n".join(lines)


def told_in_words(prediction: Prediction) -> str:
    """A prediction as a sentence."""
    begin = f"At {prediction.per_day:g} miles a day, as recently driven, it is reached about {prediction.on}"
    if prediction.earliest is None:
        return f"{begin}; two readings cannot tell how sure that is."
    if prediction.latest is None:
        return f"{begin}, and not before {prediction.earliest}."
    return f"{begin}, between {prediction.earliest} and {prediction.latest}."


def _left(left: int, unit: str) -> str:
    words = f"{abs(left):,} {unit}{'' if abs(left) == 1 else 's'}"
    return f"{words} left" if left >= 0 else f"{words} over"
