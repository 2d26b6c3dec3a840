"""The overview: whether the data are healthy, since when not, and what changed, from a constant number of queries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from integrity.alerts.listing import given_up, states
from integrity.alerts.models import AlertState
from integrity.checkup import FORMULA, HEALTHY, Check, oldest, score, worst
from integrity.importing.known import imports
from integrity.models import Run
from integrity.overview.activity import LastImport, in_quarantine, last_imports, last_runs
from integrity.overview.changes import Turn, turns
from integrity.overview.history import History, history
from integrity.overview.kept import Kept, kept
from integrity.overview.standing import BROKEN, NOT_CHECKED, Standing, standings
from integrity.registry import registry
from integrity.rules.base import SEVERITIES, Rule
from integrity.trend import Forecast, outlook


@dataclass(frozen=True)
class Overview:
    """All that the first page says."""

    standings: Sequence[Standing]
    history: History
    turns: Sequence[Turn]
    runs: Sequence[Run]
    imports: Sequence[LastImport]
    quarantined: int
    alerts: Sequence[AlertState]
    """The conditions that somebody was told of and that hold still."""
    undelivered: int
    """Deliveries of messages that were given up."""
    kept: Kept
    formula: str = FORMULA

    @property
    def broken(self) -> list[Standing]:
        """Rules that are broken, the worst first."""
        found = [one for one in self.standings if one.status == BROKEN]
        return sorted(found, key=lambda one: (SEVERITIES.index(one.rule.severity), -one.violations))

    @property
    def not_checked(self) -> list[Standing]:
        """Rules of which nobody can say whether they hold."""
        return [one for one in self.standings if one.status == NOT_CHECKED]

    @property
    def violations(self) -> int:
        return sum(one.violations for one in self.broken)

    @property
    def since(self) -> datetime | None:
        """Since when not everything holds."""
        return min((one.since for one in self.broken if one.since), default=None)

    @property
    def oldest(self) -> datetime | None:
        """The oldest of the last looks: since then nothing has gone unseen. None where a rule was never looked at."""
        return oldest(one.look.at if one.look else None for one in self.standings)

    @property
    def forecasts(self) -> list[tuple[Rule, Forecast]]:
        """Bounds that will be passed, the soonest first."""
        found = [(one.rule, ahead) for one in self.standings if (ahead := outlook(one.rule, one.points))]
        return sorted(found, key=lambda pair: pair[1].at)

    @property
    def checks(self) -> list[Check]:
        """What health counts: the rules, and what it looks at beside them."""
        return [*(_check(one) for one in self.standings), *self.kept.checks]

    @property
    def others(self) -> list[Check]:
        """What is wrong, or could not be looked at, beside the rules."""
        return [check for check in self.kept.checks if check.status != HEALTHY]

    @property
    def score(self) -> float | None:
        return score(self.checks)

    @property
    def status(self) -> str:
        return worst(self.checks)


def overview(rules: Iterable[Rule] | None = None) -> Overview:
    """What the records tell of rules, of all that are declared unless given."""
    rules = list(registry if rules is None else rules)
    found = standings(rules)
    return Overview(
        found,
        history(rules),
        turns(found),
        last_runs(),
        last_imports(imports),
        in_quarantine(),
        states(),
        given_up(),
        kept(rules),
    )


def _check(one: Standing) -> Check:
    known = not one.why and one.look is not None
    checked = one.look.checked if known and one.look else None
    return Check(one.rule.label, one.rule.severity, one.violations if known else None, checked, one.why)
