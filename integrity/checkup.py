"""The answer about health: what was checked, how much of it is right, and what that comes to in all and for an app."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from integrity import statuses
from integrity.rules.base import SEVERITIES
from integrity.trend import Forecast

HEALTHY, DEGRADED, NOT_CHECKED = "healthy", "degraded", "not checked"
EXIT_CODES = {HEALTHY: 0, DEGRADED: 1, NOT_CHECKED: 3}
STATUSES = {HEALTHY: statuses.CLEAN, DEGRADED: statuses.VIOLATED, NOT_CHECKED: statuses.PARTIAL}
WEIGHTS = {"error": 10, "warning": 3, "info": 0}
FORMULA = (
    "score: the mean over all checks of the share that is right, where an error weighs 10, a warning 3 and an info 0;"
    " what was not checked counts as wrong"
)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. ``found`` of ``of`` are wrong; None where nobody could look, or did in time."""

    what: str
    severity: str
    found: int | None
    of: int | None
    note: str = ""
    trend: list[int] = field(default_factory=list)
    """What earlier looks found, the oldest first."""
    app: str = ""
    """The app that it belongs to; empty for what belongs to none."""
    rule: str = ""
    """The label, where it is about one rule."""
    looked: datetime | None = None
    """When the look began by which the rule is judged."""
    sweep: datetime | None = None
    """When the last look at everything began."""
    forecast: Forecast | None = None
    """When the rule's bound will be passed."""

    @property
    def status(self) -> str:
        """healthy, degraded or not checked; what only informs degrades nothing."""
        if self.found is None:
            return NOT_CHECKED
        return DEGRADED if self.found and self.severity != "info" else HEALTHY

    @property
    def share(self) -> float:
        """How much is right, from 0 to 1."""
        if self.found is None:
            return 0.0
        return 1 - min(self.found / self.of, 1) if self.of else 1.0


@dataclass(frozen=True)
class Enforced:
    """How many of an app's rules that are declared to be enforced the database keeps true now."""

    installed: int | None
    """None where the database could not be asked."""
    declared: int


@dataclass(frozen=True)
class AppHealth:
    """What the checks of one app come to."""

    app: str
    checks: list[Check]
    enforced: Enforced = Enforced(0, 0)

    @property
    def status(self) -> str:
        """The worst of its checks."""
        return worst(self.checks)

    @property
    def score(self) -> float | None:
        """0 to 100, see FORMULA."""
        return score(self.checks)

    @property
    def violations(self) -> dict[str, int | None]:
        """By severity, of its rules; None where one of them was not checked."""
        found: dict[str, int | None] = {}
        for severity in SEVERITIES:
            counts = [check.found for check in self.checks if check.rule and check.severity == severity]
            found[severity] = None if None in counts else sum(count or 0 for count in counts)
        return found

    @property
    def sweep(self) -> datetime | None:
        """The oldest of the last looks at everything: since then nothing has gone unseen."""
        return oldest(check.sweep for check in self.checks if check.rule)


@dataclass
class Health:
    """The answer. ``run``: the analysis made for it; None where only the records were read."""

    run: int | None
    checks: list[Check] = field(default_factory=list)
    enforced: dict[str, Enforced] = field(default_factory=dict)
    """By app."""
    last_sweep: datetime | None = None
    """When everything that is asked for was looked at, before this."""

    @property
    def status(self) -> str:
        """The worst of all checks: what was not checked is worse than what is wrong."""
        return worst(self.checks)

    @property
    def exit_code(self) -> int:
        """0 healthy, 1 degraded, 3 something could not be checked."""
        return EXIT_CODES[self.status]

    @property
    def score(self) -> float | None:
        """0 to 100, see FORMULA; None where nothing that weighs was looked at."""
        return score(self.checks)

    @property
    def apps(self) -> list[AppHealth]:
        """What it comes to for each app, by name."""
        apps = sorted({check.app for check in self.checks if check.app})
        return [
            AppHealth(app, [c for c in self.checks if c.app == app], self.enforced.get(app, Enforced(0, 0)))
            for app in apps
        ]


def worst(checks: Iterable[Check]) -> str:
    """The status of several checks together."""
    found = {check.status for check in checks}
    return next((status for status in (NOT_CHECKED, DEGRADED) if status in found), HEALTHY)


def score(checks: Sequence[Check]) -> float | None:
    """See FORMULA."""
    weighed = [(WEIGHTS[c.severity], c.share) for c in checks if c.of or c.found is None]
    total = sum(weight for weight, _ in weighed)
    return round(100 * sum(weight * share for weight, share in weighed) / total, 1) if total else None


def oldest(times: Iterable[datetime | None]) -> datetime | None:
    """The earliest of some times; None where one of them is, or there is none."""
    known = list(times)
    return None if not known or None in known else min(time for time in known if time is not None)
