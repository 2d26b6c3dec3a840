"""Whether a rule's automatic repair may be carried out now, or waits for a person: told by the records alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Exists, OuterRef, QuerySet

from integrity import statuses
from integrity.exceptions import Refused
from integrity.keys import Key
from integrity.models import Change, Result, Run, Violation
from integrity.repairing.owners import changes_for
from integrity.rules.base import Rule
from integrity.schedules.automatic import AUTOMATIC

READY, WAITS, STOPPED, SUSPENDED = "ready", "waits", "stopped", "suspended"
IN_VAIN = 3
"""After so many automatic repairs within WITHIN that did not hold a person is waited for."""
WITHIN = timedelta(days=1)
_LOOKED_BACK, _COMPARED = 50, 1_000


@dataclass(frozen=True)
class Readiness:
    """A word, and for all but ``ready`` the reason in a sentence."""

    word: str
    why: str = ""


def readiness(rule: Rule, violations: int | None = None) -> Readiness:
    """How it stands with a rule's automatic repair. violations: what the last look found.

    suspended: one was taken back. stopped: three within a day did not hold. waits: the last one would have written too
    much, or was refused for another reason, and there are no fewer violations now; or it could put nothing right, and
    no others are there now. Whatever it is ends when a person repairs the rule or resumes its automatic repair.
    """
    attempts = list(_attempts(rule)[:_LOOKED_BACK])
    if not attempts:
        return Readiness(READY)
    if undone := _taken_back_by(attempts):
        return Readiness(SUSPENDED, f"run {undone.of_id} was taken back by run {undone.pk} ({undone.actor})")
    if _was_refused(rule, attempts[0], violations):
        return Readiness(WAITS, f"run {attempts[0].pk} was refused: {attempts[0].error}")
    if _found_no_way(rule, attempts[0]):
        return Readiness(WAITS, f"run {attempts[0].pk} could put none of the violations right")
    in_vain = _in_vain(rule, attempts)
    for latest, earliest in zip(in_vain, in_vain[IN_VAIN - 1 :], strict=False):
        if latest.started_at - earliest.started_at <= WITHIN:
            return Readiness(STOPPED, f"{IN_VAIN} repairs within a day did not hold, the last one in run {latest.pk}")
    return Readiness(READY)


def _attempts(rule: Rule) -> QuerySet[Run]:
    """The automatic repairs of a rule since a person did something about it, the latest first."""
    runs = Run.objects.filter(
        Exists(Result.objects.filter(run=OuterRef("pk"), rule=rule.label)), dry_run=False
    ).exclude(status__in=[statuses.QUEUED, statuses.RUNNING])
    repairs = runs.filter(verb=Run.Verb.REPAIR)
    by_hand = repairs.exclude(options__has_key=AUTOMATIC).exclude(status=statuses.REFUSED)
    since = (by_hand | runs.filter(verb=Run.Verb.RESUME)).order_by("-pk").values_list("pk", flat=True).first()
    return repairs.filter(options__has_key=AUTOMATIC, pk__gt=since or 0).order_by("-pk")


def _taken_back_by(attempts: Sequence[Run]) -> Run | None:
    """The latest undo that took rows of one back, and was not taken back itself."""
    wrote = Exists(Change.objects.filter(run=OuterRef("pk")))
    undone = Run.objects.filter(wrote, verb=Run.Verb.UNDO, dry_run=False)
    again = undone.filter(of=OuterRef("pk"))
    return undone.filter(~Exists(again), of__in=attempts).order_by("-pk").first()


def _was_refused(rule: Rule, attempt: Run, violations: int | None) -> bool:
    """Nothing was written, and nothing else is to be expected: neither the limit nor the data have changed."""
    if attempt.status != statuses.REFUSED or rule.automatic is None:
        return False
    if attempt.options[AUTOMATIC] != rule.automatic.as_json():
        return False
    then = attempt.results.filter(rule=rule.label).values_list("violations", flat=True).first()
    return then is None or violations is None or violations >= then


def _found_no_way(rule: Rule, attempt: Run) -> bool:
    """It wrote nothing, and all that is wrong was there then. A row that was too young then may be old enough now."""
    if attempt.status != statuses.VIOLATED or rule.settle or Change.objects.filter(run=attempt).exists():
        return False
    return not _open(rule).filter(first_seen__gt=attempt.started_at).exists()


def _in_vain(rule: Rule, attempts: Sequence[Run]) -> list[Run]:
    """Those that were not finished, or of which a violation that they cured is open again within a day."""
    keys = [rule.key_from_json(key) for key in _open(rule).values_list("key", flat=True)[:_COMPARED]]
    return [
        attempt
        for attempt in attempts
        if attempt.status in (statuses.FAILED, statuses.PARTIAL)
        or (keys and _broken_again(rule, attempt) and _cured(attempt, rule, keys))
    ]


def _broken_again(rule: Rule, attempt: Run) -> bool:
    """Whether a look within a day has found anything at all."""
    until = attempt.started_at + WITHIN
    looks = Result.objects.filter(rule=rule.label, run__verb=Run.Verb.ANALYZE, status=statuses.VIOLATED)
    return looks.filter(run__started_at__gt=attempt.started_at, run__started_at__lte=until).exists()


def _cured(attempt: Run, rule: Rule, keys: Sequence[Key]) -> bool:
    """Whether it wrote for one of these violations, as far as the journal tells."""
    try:
        return changes_for(attempt, rule, keys, connections[DEFAULT_DB_ALIAS]).exists()
    except Refused:
        return True


def _open(rule: Rule) -> QuerySet[Violation]:
    return Violation.objects.filter(rule=rule.label, database=DEFAULT_DB_ALIAS, status=Violation.Status.OPEN)
