"""Self-healing: after a look that was scheduled, or an import, the repairs that rules declare automatic.

Each is a run of its own under the locks, the brake, the journal and the do-no-harm of every repair, and is looked at
again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from integrity import records, statuses
from integrity.alerts.unhealed import tell_unhealed
from integrity.enforcement.along import models_along
from integrity.engine import analyze
from integrity.exceptions import EngineError, LostRun, RunInProgress, UsageError, sentence
from integrity.models import Run
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repair import repair
from integrity.repairing.ordering import in_order
from integrity.reports import Report, RuleReport, rows
from integrity.rules.base import Rule
from integrity.schedules.readiness import READY, readiness

ACTOR = "automatic repair"


@dataclass
class Healed:
    """What became of one rule: the report of its repair, where one was begun, and a sentence about it."""

    rule: Rule
    told: str
    repair: Report | None = None

    def as_json(self) -> dict[str, Any]:
        """As an answer in JSON has it."""
        done = self.repair
        return {
            "rule": self.rule.label,
            "run": done.run if done else None,
            "status": done.status if done else None,
            "changes": done.changes if done else 0,
            "note": self.told,
        }

    @property
    def status(self) -> str:
        """How the repair ended; a refused one wrote nothing and leaves the violations to a person."""
        if self.repair is None or self.repair.status == statuses.REFUSED:
            return statuses.VIOLATED
        return self.repair.status


def heal(found: Report, rules: Iterable[Rule], of: Run, *, observer: Observer | None = None) -> list[Healed]:
    """Repair what a look has found, where a rule declares it. of: the run that the look is a part of.

    The report is brought up to date: it tells what another look has found after each repair, and what was done.
    """
    by_label = {rule.label: rule for rule in rules}
    wrong = [by_label[r.rule] for r in found.rules if r.status == statuses.VIOLATED and by_label[r.rule].automatic]
    healed = []
    for rule in _in_order(wrong):
        position = next(i for i, report in enumerate(found.rules) if report.rule == rule.label)
        done = _heal_one(rule, found.rules[position], found, of, observer or Observer())
        healed.append(done)
        if done.repair is not None and done.repair.changes:
            only_changes = found.rules[position].changed is not None
            found.rules[position] = _look_again(rule, done.repair, of, changed=only_changes)
        report = found.rules[position]
        report.notes.append(f"{rule.label}: {done.told}")
        if done.repair is not None:
            report.changes, report.strategy = done.repair.changes, done.repair.rules[0].strategy
            report.status = statuses.worst([report.status, done.status])
        tell_unhealed(rule)
    return healed


def heal_after(
    models: Iterable[type[Model]], of: Run, *, observer: Observer | None = None
) -> tuple[Report | None, list[Healed]]:
    """Look at the rules with automatic repairs that read what a run has written, and repair them.

    The look, or None where no rule is concerned, and what became of each.
    """
    rules = [rule for rule in registry.reading(models_along(registry, models)) if rule.automatic]
    if not rules:
        return None, []
    reason = f"What run {of.pk} ({of.verb}) wrote concerns it."
    found = analyze(rules, actor=of.actor, reason=reason, of=of, heals=True)
    return found, heal(found, rules, of, observer=observer)


def resume(rule: Rule, *, actor: str | None = None, reason: str = "") -> Run:
    """Let a rule's automatic repair go on that was stopped or suspended. Raises UsageError where it has none, or where
    nothing keeps it.
    """
    if rule.automatic is None:
        raise UsageError(f"{rule.label} declares no automatic repair; there is nothing to resume.")
    if readiness(rule).word == READY:
        raise UsageError(f"The automatic repair of {rule.label} is ready; there is nothing to resume.")
    run = records.open_run(Run.Verb.RESUME, database="default", actor=actor, reason=reason)
    records.save_result(run, RuleReport(rule.label, status=statuses.CLEAN, strategy=rule.automatic.strategy))
    records.close_run(run, statuses.CLEAN)
    return run


def _in_order(rules: Sequence[Rule]) -> list[Rule]:
    """Those first whose rows others follow; as they are declared where they follow each other in a circle."""
    jobs = [(rule, *rule.strategy(rule.automatic.strategy)) for rule in rules if rule.automatic]
    try:
        return [rule for rule, _, _ in in_order(jobs)]
    except UsageError:
        return list(rules)


def _heal_one(rule: Rule, seen: RuleReport, look: Report, of: Run, observer: Observer) -> Healed:
    assert rule.automatic is not None
    strategy = rule.automatic.strategy
    stands = readiness(rule, seen.violations)
    if stands.word != READY:
        return Healed(
            rule,
            f"the automatic repair {strategy} {stands.word}, because {stands.why}. Repair it by hand, or:"
            f" manage.py integrity resume {rule.label}",
        )
    observer.reaches("healing")
    try:
        done = repair(
            [(rule, strategy)],
            of=of,
            automatic=rule.automatic,
            actor=ACTOR,
            reason=f"Run {look.run} ({look.verb}) found {_violations(seen.violations or 0)}.",
            observer=observer,
        )
    except LostRun:
        raise
    except RunInProgress as busy:
        return Healed(rule, f"the automatic repair {strategy} was not begun: {busy}")
    except EngineError as error:
        return Healed(rule, f"the automatic repair {strategy} could not be begun: {sentence(error)}")
    observer.reaches("healed")
    return Healed(rule, _told(rule, done, seen), done)


def _told(rule: Rule, done: Report, seen: RuleReport) -> str:
    strategy, error = done.rules[0].strategy, done.rules[0].error
    if done.status == statuses.REFUSED:
        return (
            f"the automatic repair {strategy} (run {done.run}) waits for a person: {error}"
            f" See: manage.py integrity repair {rule.label} --strategy {strategy} --dry-run"
        )
    wrote = f"{_violations(seen.violations or 0)} led to run {done.run}, the automatic repair {strategy}: {done.status}"
    undo = f". To take it back: manage.py integrity undo {done.run}" if done.changes else ""
    return f"{wrote}, changed: {rows(done.changes)}{f'. {error}' if error else ''}{undo}"


def _look_again(rule: Rule, done: Report, of: Run, *, changed: bool) -> RuleReport:
    """How the rule stands after its repair, in the records as well."""
    reason = f"Whether run {done.run} holds."
    return analyze([rule], changed=changed, actor=ACTOR, reason=reason, of=of).rules[0]


def _violations(count: int) -> str:
    return f"{count:,} violation{'' if count == 1 else 's'}"
