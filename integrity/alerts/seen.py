"""What the results of a run say about the state of its rules: how much of it each verb may claim."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from integrity import statuses
from integrity.alerts.conditions import Condition, Seen
from integrity.alerts.models import AlertState
from integrity.alerts.subjects import FAR_BELOW, PAST, Subject, subjects
from integrity.models import Result, Run
from integrity.registry import registry

_ANSWERED = (statuses.CLEAN, statuses.VIOLATED, statuses.RETIRED)


@dataclass(frozen=True)
class Sight:
    """What was seen of one rule or import, and the facts for a message."""

    subject: Subject
    seen: list[Seen]
    violations: int | None = None
    of: int | None = None
    """Of how many; None where only some were looked at."""
    error: str = ""
    retired: bool = False


HEALS = "heals"
"""In the options of a look: automatic repairs follow it at once."""


def sights(run: Run, *, ended: bool = False) -> list[Sight]:
    """What a run that has ended says. A dry run, and a verb that looks past accepted exceptions, say nothing.

    ended: so have the automatic repairs after it.
    """
    if run.dry_run:
        return []
    if run.verb == Run.Verb.IMPORT:
        return list(_import(run))
    if run.verb not in (Run.Verb.ANALYZE, Run.Verb.REPAIR, Run.Verb.VERIFY, Run.Verb.UNDO):
        return []
    known = subjects()
    found = {result.rule: result for result in run.results.all() if result.rule in known}
    healing = _healing(run, found) if run.options.get(HEALS) and not ended else set()
    return [_sight(run, result, known[label], heals=label in healing) for label, result in found.items()]


def _healing(run: Run, found: Mapping[str, Result]) -> set[str]:
    """The rules that a repair is about to put right, and that nobody has been told of as failing."""
    wrong = {label for label, result in found.items() if result.status == statuses.VIOLATED}
    wrong &= {rule.label for rule in registry if rule.automatic}
    failing = AlertState.objects.filter(rule__in=wrong, database=run.database, what=Condition.FAILS)
    return wrong - set(failing.values_list("rule", flat=True)) if wrong else set()


def _sight(run: Run, result: Result, subject: Subject, *, heals: bool) -> Sight:
    retired = result.status == statuses.RETIRED
    whole = _answers_for_all(run, result)
    of = result.checked if whole and result.changed is None else None
    seen = list(_of_all(result, subject, of) if whole else _of_some(result, subject))
    if heals:
        seen = [Seen.TO_BE_HEALED, *(one for one in seen if one in (Seen.UNNOTICED, Seen.ALL_NOTED))]
    return Sight(subject, seen, result.violations, of, result.error, retired)


def _answers_for_all(run: Run, result: Result) -> bool:
    """An analysis of everything, or of what has changed since; a repair that left nothing of all that there was."""
    if run.keys and result.rule in run.keys:
        return False
    if run.verb == Run.Verb.REPAIR:
        return result.status in (statuses.CLEAN, statuses.RETIRED)
    return run.verb == Run.Verb.ANALYZE


def _of_all(result: Result, subject: Subject, of: int | None) -> Iterator[Seen]:
    # A full look that finds what went unnoticed is called partial for that alone.
    if result.status not in _ANSWERED and result.unnoticed is None:
        yield Seen.NOT_CHECKED
        # What was found before it broke off is there all the same.
        yield from _of_some(result, subject)
        return
    if not result.violations:
        yield Seen.HOLDS
    else:
        where = {PAST: Seen.FAILS_PAST_LIMIT, FAR_BELOW: Seen.FAILS_LITTLE}
        yield where.get(subject.measure(result.violations, of) or "", Seen.FAILS)
    if result.unnoticed is not None:
        yield Seen.UNNOTICED if result.unnoticed else Seen.ALL_NOTED


def _of_some(result: Result, subject: Subject) -> Iterable[Seen]:
    if not result.violations:
        return []
    past = subject.measure(result.violations, None) == PAST
    return [Seen.SOME_PAST_LIMIT if past else Seen.SOME_FAIL]


def _import(run: Run) -> Iterator[Sight]:
    subject = subjects().get(run.options.get("import", ""))
    if subject is not None:
        done = run.status in (statuses.CLEAN, statuses.PARTIAL)
        yield Sight(subject, [Seen.IMPORTED if done else Seen.NOT_IMPORTED], error="" if done else run.error)
