"""Which rules must not be broken by an import: looked at before the first row is written and after the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from integrity.conf import conf
from integrity.enforcement.along import models_along
from integrity.enforcement.base import ENFORCED
from integrity.enforcement.states import state
from integrity.exceptions import Refused
from integrity.importing.declarations import Import
from integrity.keys import Key
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.rules.bounded import Bounded
from integrity.safety import worse
from integrity.schema import is_retired
from integrity.scope import Scope
from integrity.statement import compose, fetch, joined, name, value

_SHOWN = 5


class GateFailed(Refused):
    """A rule would be broken by what was imported; everything was rolled back."""


@dataclass(frozen=True)
class _Seen:
    """What breaks a rule: how many rows, and the lowest of them."""

    count: int
    rows: dict[Key, dict[str, Any]]


class Gates:
    """Every rule that reads a written table, as it was before."""

    def __init__(self, wanted: Import, connection: Any) -> None:
        self.wanted, self.connection = wanted, connection
        models = models_along(registry, {feed.model for feed in wanted.feeds})
        must = [registry.get(label) for label in wanted.must_hold]
        self.rules = [
            rule
            for rule in dict.fromkeys([*must, *registry.reading(models)])
            if not is_retired(rule, connection.alias) and state(rule) != ENFORCED
        ]
        self.sizes: dict[Rule, int] = {}
        self.before: dict[Rule, _Seen] = {}

    def look_before(self) -> None:
        """Remember what breaks the rules already. Raises GateFailed for one that must hold and does not."""
        for rule in self.rules:
            if isinstance(rule, Bounded):
                self.sizes[rule] = rule.size(self.connection.alias)
                continue
            self.before[rule] = self._look(rule)
            if rule.label in self.wanted.must_hold and self.before[rule].count:
                raise GateFailed(
                    f"{rule.label} must hold before {self.wanted.label} begins, and"
                    f" {_told(rule, self.before[rule].count, self.before[rule].rows)}. Nothing was written."
                    f" See: manage.py integrity analyze {rule.label}"
                )

    def check(self) -> list[str]:
        """Raise GateFailed naming the first rule that is broken anew, how often, and where. The labels looked at."""
        for rule in self.rules:
            broken = self._bounds(rule) if isinstance(rule, Bounded) else self._anew(rule)
            if broken:
                raise GateFailed(
                    f"The import would break {rule.label}: {broken}. Everything was rolled back. ({rule.because})"
                )
        return [rule.label for rule in self.rules]

    def _bounds(self, rule: Bounded) -> str:
        found = fetch(self.connection, rule.since(self.sizes[rule], self.connection.alias))
        return "; ".join(f"{row['evidence__why']}" for row in found)

    def _anew(self, rule: Rule) -> str:
        before, after = self.before[rule], self._look(rule)
        anew = {key: row for key, row in after.rows.items() if worse(before.rows.get(key), row)}
        # Beyond the rows that are compared one by one, their number tells.
        complete = before.count == len(before.rows)
        more = len(anew) if complete and after.count == len(after.rows) else max(after.count - before.count, 0)
        if rule.label in self.wanted.must_hold:
            anew, more = after.rows, after.count
        return _told(rule, more, anew) if more else ""

    def _look(self, rule: Rule) -> _Seen:
        rows = fetch(
            self.connection,
            compose(
                "SELECT count(*) OVER () AS integrity_count, v.* FROM ({violations}) AS v ORDER BY {key} LIMIT {most}",
                violations=rule.violations(Scope(), self.connection.alias),
                key=joined(", ", (name("v", f"key__{key.name}") for key in rule.key_fields)),
                most=value(conf().STORED_VIOLATIONS),
            ),
        )
        keyed = {tuple(row[f"key__{key.name}"] for key in rule.key_fields): row for row in rows}
        return _Seen(rows[0]["integrity_count"] if rows else 0, keyed)


def _told(rule: Rule, count: int, rows: dict[Key, dict[str, Any]]) -> str:
    """How many, and the first few."""
    shown: Sequence[str] = [
        ", ".join(f"{field} {part}" for field, part in rule.key_as_json(key).items()) for key in list(rows)[:_SHOWN]
    ]
    more = ", ..." if count > len(shown) else ""
    return f"{count} violation{'' if count == 1 else 's'} at {'; '.join(shown)}{more}"
