"""What people are told about: a declared rule or import, with what its filters and messages need."""

from __future__ import annotations

from dataclasses import dataclass

from integrity.limits import Limit
from integrity.registry import registry

PAST, WITHIN, FAR_BELOW = "past", "within", "far below"


@dataclass(frozen=True)
class Subject:
    """A rule or an import by its label."""

    label: str
    severity: str
    tags: tuple[str, ...] = ()
    owner: str = ""
    because: str = ""
    alert_above: str | int | None = None
    command: str = ""
    """What shows more, without ``manage.py integrity``."""

    def measure(self, violations: int, of: int | None) -> str | None:
        """Where a number of violations stands to the limit; None where a share of an unknown number is asked for."""
        if self.alert_above is None:
            return FAR_BELOW
        limit = Limit.declared(self.alert_above)
        if of is None and limit.share:
            return None
        if not limit.allows(violations, of or 0):
            return PAST
        return FAR_BELOW if limit.allows(2 * violations, of or 0) else WITHIN


def subjects() -> dict[str, Subject]:
    """Everything that is declared, by label."""
    from integrity.importing.known import imports

    rules = {
        rule.label: Subject(
            rule.label,
            rule.severity,
            rule.tags,
            rule.owner,
            rule.because,
            rule.alert_above,
            f"analyze {rule.label}",
        )
        for rule in registry
    }
    return rules | {w.label: Subject(w.label, "error", command="runs --verb import") for w in imports}
