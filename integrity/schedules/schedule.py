"""When a rule is to be looked at: a duration since the last look, or a cron expression in the project's time zone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from cronsim import CronSim, CronSimError
from django.utils import timezone

from integrity.conf import conf
from integrity.exceptions import WrongDeclaration

if TYPE_CHECKING:
    from integrity.rules.base import Rule

TAG = "tag:"
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_FIELDS = 5
_LATE = timedelta(minutes=5)
WAY_OUT = 'Give a duration such as "15m", "1h" or "1d", or a cron expression of five fields such as "0 3 * * *".'


@dataclass(frozen=True)
class Schedule:
    """``Schedule("1h")`` or ``Schedule("0 3 * * *")``. Raises WrongDeclaration where the text is neither."""

    text: str

    def __post_init__(self) -> None:
        if self.step is None:
            self._require_cron()

    @property
    def step(self) -> timedelta | None:
        """The duration; None for a cron expression."""
        found = re.fullmatch(r"([1-9]\d{0,4})([mhdw])", self.text)
        return timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None

    def after(self, at: datetime) -> datetime:
        """When the look after one that began at ``at`` is due."""
        if self.step is not None:
            return at + self.step
        # What a clock shows twice or not at all is decided as Debian's cron does.
        local = timezone.localtime(at, timezone.get_default_timezone()) if timezone.is_aware(at) else at
        return next(CronSim(self.text, local))

    def is_due(self, last: datetime | None, now: datetime) -> bool:
        """Whether it is time for another look. What was never looked at is due at once."""
        return last is None or now + self._early() >= self.after(last)

    def is_overdue(self, last: datetime | None, now: datetime) -> bool:
        """Whether two looks in a row have not come, a little lateness aside."""
        return last is None or now > self.missed_at(last)

    def missed_at(self, last: datetime) -> datetime:
        """From when on a look is missed."""
        second = self.after(self.after(last))
        return second + max(_LATE, (second - last) / 20)

    def period(self, at: datetime) -> timedelta:
        """The time from the first look after ``at`` to the second."""
        first = self.after(at)
        return self.after(first) - first

    def _early(self) -> timedelta:
        """A look takes place some seconds after the minute that it is called in: the next must not slip by one."""
        return min(self.step / 20, timedelta(minutes=1)) if self.step else timedelta(0)

    def _require_cron(self) -> None:
        if len(self.text.split()) != _FIELDS:
            raise WrongDeclaration(f"{self.text!r} is no schedule", WAY_OUT)
        try:
            next(CronSim(self.text, datetime(2000, 1, 1)))  # noqa: DTZ001  (only whether there is one)
        except CronSimError as error:
            raise WrongDeclaration(f"{self.text!r} is no cron expression: {str(error).lower()}", WAY_OUT) from None
        except StopIteration:
            raise WrongDeclaration(f"the cron expression {self.text!r} never comes", WAY_OUT) from None

    def __str__(self) -> str:
        return f"every {self.text}" if self.step else f"at {self.text}"


def schedule_of(rule: Rule) -> Schedule | None:
    """The rule's own, or the first of the setting SCHEDULES that is for it; None: nobody looks at it by itself."""
    if rule.every is not None:
        return Schedule(rule.every)
    return next((Schedule(text) for wanted, text in conf().SCHEDULES.items() if _is_for(wanted, rule)), None)


def sweep_of(rule: Rule) -> Schedule | None:
    """How often a rule of which only changes are looked at is looked at as a whole; None where each look is whole."""
    return None if rule.sweep is None else Schedule(rule.sweep)


def _is_for(wanted: str, rule: Rule) -> bool:
    if wanted.startswith(TAG):
        return wanted.removeprefix(TAG) in rule.tags
    return wanted in (rule.label, rule.app)


def schedule_problems(rule: Rule) -> Iterator[WrongDeclaration]:
    """What is wrong with the schedules that a rule declares."""
    for option, text in (("every", rule.every), ("sweep", rule.sweep)):
        if text is None:
            continue
        try:
            Schedule(text)
        except WrongDeclaration as wrong:
            yield WrongDeclaration(f"{option}=: {wrong.message}", wrong.hint)
    if rule.sweep is not None and not rule.tracked:
        yield WrongDeclaration(
            "sweep= is for rules of which only changes are looked at in between, and it is not tracked",
            "Add tracked=True, or say every= alone: each look is at everything then.",
        )
    if rule.sweep is not None and rule.every is None:
        yield WrongDeclaration("sweep= stands without every=", "Say how often changes are looked at, with every=.")


def setting_problems(known: set[str]) -> Iterator[WrongDeclaration]:
    """What is wrong with the setting SCHEDULES. known: rules, apps and tags as it may name them."""
    for wanted, text in conf().SCHEDULES.items():
        where = f"INTEGRITY['SCHEDULES'][{wanted!r}]"
        if wanted not in known:
            yield WrongDeclaration(f"{where} is for nothing that is declared", f"Known: {', '.join(sorted(known))}.")
        try:
            Schedule(text)
        except WrongDeclaration as wrong:
            yield WrongDeclaration(f"{where}: {wrong.message}", wrong.hint)
