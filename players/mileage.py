"""Mileage that does not add up: whose, by how much, which rows are suspect, and the repair of players and groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS

from integrity import Derived, records
from integrity.conf import conf
from integrity.engine import analyze, preview
from integrity.exceptions import UsageError
from integrity.keys import Key
from integrity.look import keys_beyond, look
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Finding, PlannedChange, Report, RuleReport, Wider
from integrity.scope import Scope
from players.models import Group, Membership, Player
from players.tree import ancestors

ADDS_UP = "players.mileage_adds_up"
GROUP_ADDS_UP = "players.group_total_adds_up"
STRATEGIES = ("delete_extra_metrics", "recalculate_from_player")
OLDEST_FIRST = "_oldest_first"
SUSPECTS = 5
"""History rows shown for one player."""


@dataclass(frozen=True)
class Selection:
    """Whom to look at: one player with the groups above, or everybody, hidden ones too.

    threshold: kilometres; smaller differences are neither listed nor repaired, though they count.
    """

    player_id: int | None = None
    threshold: Decimal = Decimal("0.001")

    def keys(self) -> dict[str, list[Key]]:
        """Keys by rule, empty for everybody. Raises UsageError for a player that does not exist."""
        if self.player_id is None:
            return {}
        if not Player.objects.filter(pk=self.player_id).exists():
            raise UsageError(f"--player-id {self.player_id}: there is no such player.")
        groups = Membership.objects.filter(player_id=self.player_id).values_list("group_id", flat=True)
        return {ADDS_UP: [(self.player_id,)], GROUP_ADDS_UP: [(group,) for group in ancestors(groups)]}


def analyze_mileage(selection: Selection, *, limit: int = 20, observer: Observer | None = None) -> Report:
    """Look at players, then at groups; the listed ones carry their suspects as evidence."""
    rules = [registry.get(ADDS_UP), registry.get(GROUP_ADDS_UP)]
    report = analyze(rules, keys=selection.keys(), sample=conf().STORED_VIOLATIONS, observer=observer)
    explain(report, selection, limit)
    return report


def fix_mileage(
    selection: Selection,
    strategy: str = STRATEGIES[0],
    *,
    oldest_first: bool = False,
    limit: int = 20,
    **options: Any,
) -> Report:
    """Repair players' histories by a strategy and groups' totals from the players, in one run that can be undone.

    What the strategy cannot cure stays and is reported. Raises UsageError for an unknown strategy.
    """
    if strategy not in STRATEGIES:
        raise UsageError(f"--strategy {strategy!r} is unknown. Known: {', '.join(STRATEGIES)}.")
    players, groups = (cast("Derived", registry.get(label)) for label in (ADDS_UP, GROUP_ADDS_UP))
    scopes = {rule: _scope(rule, selection) for rule in (players, groups)}
    found = {rule.label: _found(rule, scope) for rule, scope in scopes.items()}
    keys = {
        rule.label: keys_beyond(rule, selection.threshold, scope, DEFAULT_DB_ALIAS) for rule, scope in scopes.items()
    }
    # What the threshold keeps from the repair is wrong all the same.
    wider = {
        label: Wider(seen.checked or 0, max(0, (seen.violations or 0) - len(keys[label])))
        for label, seen in found.items()
    }
    chosen = strategy + (OLDEST_FIRST if oldest_first else "")
    report = repair([(players, chosen), (groups, "recompute")], keys=keys, wider=wider, sample=limit, **options)
    for rule in report.rules:
        if left := wider[rule.rule].left_alone:
            rule.notes.append(f"Left alone: {left} with a difference of up to {selection.threshold} km.")
    explain(report, selection, limit)
    for rule in report.rules:
        if rule.strategy.startswith(STRATEGIES[0]) and any(_is_less(finding) for finding in rule.sample):
            rule.notes.append(f"What history lacks (LESS) takes --strategy {STRATEGIES[1]}.")
    return report


def _scope(rule: Derived, selection: Selection) -> Scope:
    return Scope(
        keys=Scope.of(selection.keys().get(rule.label)).keys, without=records.accepted_keys(rule, DEFAULT_DB_ALIAS)
    )


def _found(rule: Derived, scope: Scope) -> RuleReport:
    found = RuleReport(rule.label)
    look(rule, scope, DEFAULT_DB_ALIAS, found)
    return found


def explain(report: Report, selection: Selection, limit: int) -> None:
    """Cut the samples to what the selection lists, and say of each who it is and what is suspect."""
    for rule in report.rules:
        listed = [finding for finding in rule.sample if _beyond(finding, selection.threshold)]
        rule.notes += _unlisted(len(rule.sample) - len(listed), selection.threshold)
        tell = _tell_players if rule.rule == ADDS_UP else _tell_groups
        rule.sample = tell(listed[:limit])


def _is_less(finding: Finding) -> bool:
    return bool(finding.evidence["direction"] == "LESS")


def difference(finding: Finding) -> Decimal:
    """Kilometres of history and flight (or of the group's own column) too many, below 0 too few."""
    actual, expected = finding.actual["distance_total"], finding.expected["distance_total"]
    return Decimal(expected - actual)


def _beyond(finding: Finding, threshold: Decimal) -> bool:
    return bool(finding.actual) and abs(difference(finding)) > threshold


def _unlisted(count: int, threshold: Decimal) -> list[str]:
    return [f"Not listed: {count} with a difference of up to {threshold} km."] if count else []


def _tell_players(findings: Sequence[Finding]) -> list[Finding]:
    keys = [finding.key for finding in findings]
    names = {player.pk: str(player) for player in Player.objects.filter(pk__in=[key[0] for key in keys])}
    suspects: dict[Key, list[dict[str, Any]]] = {}
    if keys:
        planned = preview(registry.get(ADDS_UP), STRATEGIES[1], keys, limit=SUSPECTS)
        for change in planned:
            suspects.setdefault(change.owner, []).append(_suspect(change))
    return [
        replace(
            finding,
            evidence={
                "player": names.get(finding.key[0]),
                **finding.evidence,
                **_direction(difference(finding)),
                "suspects": suspects.get(finding.key, []),
            },
        )
        for finding in findings
    ]


def _suspect(change: PlannedChange) -> dict[str, Any]:
    """The history row most likely at fault, or the hour in which one is missing."""
    if "hour" in change.new:
        return {"hour": change.new["hour"], "device": None, "distance_km": None, "why": "distance is missing here"}
    return {**change.evidence, "distance_km": change.old["distance_km"]}


def _tell_groups(findings: Sequence[Finding]) -> list[Finding]:
    names = dict(Group.objects.filter(pk__in=[finding.key[0] for finding in findings]).values_list("pk", "name"))
    return [
        replace(finding, evidence={"group": names.get(finding.key[0]), **_direction(-difference(finding))})
        for finding in findings
    ]


def _direction(km: Decimal) -> dict[str, Any]:
    return {"difference": km, "direction": "MORE" if km > 0 else "LESS"}
