"""What a request may do itself, and for how long; what is known to take longer is left to the command or the queue."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from integrity import deadline, statuses
from integrity.api.fields import Key as Given
from integrity.api.problems import Refusal, about
from integrity.conf import conf
from integrity.exceptions import UsageError
from integrity.keys import Key, from_parts
from integrity.models import Result, Run
from integrity.rendering.machine import report_object
from integrity.reports import Report
from integrity.rules.base import Rule

ROWS_A_SECOND = 5_000
"""What a repair or an undo writes at least, where nothing is in its way."""


def perform(work: Callable[[], Report], command: str) -> dict[str, Any]:
    """Do it within the time of a request. Raises Refusal where that ended it before it wrote anything."""
    with deadline.within(conf().API_SECONDS):
        report = work()
        is_late = deadline.has_passed()
    unfinished = report.status in (statuses.FAILED, statuses.PARTIAL, statuses.REFUSED)
    if is_late and unfinished and not (report.changes and not report.dry_run):
        raise Refusal(
            503,
            f"Run {report.run} was ended after {conf().API_SECONDS:g} s, before it was done; nothing was written."
            f" Run: {command}",
        )
    return report_object(report)


def refuse_long(seconds: float, command: str, *, wait: bool) -> None:
    """Raise Refusal for what took longer than a request may last, unless it is to be tried all the same."""
    if seconds > conf().API_SECONDS and not wait:
        raise Refusal(
            422,
            f"It took, or would take, about {seconds:.0f} s, longer than a request may last ({conf().API_SECONDS:g} s)."
            f" Run: {command}, or try it all the same with ?wait=1.",
            "wait",
        )


def looking_takes(rules: Iterable[Rule]) -> float:
    """Seconds that the last looks at all of these rules took; 0 for rules that nobody has looked at."""
    labels = [rule.label for rule in rules]
    looks = Result.objects.filter(
        rule__in=labels, database=DEFAULT_DB_ALIAS, run__verb=Run.Verb.ANALYZE, run__keys=None, seconds__isnull=False
    )
    latest = looks.order_by("rule", "-pk").distinct("rule").values_list("seconds", flat=True)
    return sum(seconds or 0 for seconds in latest)


def writing_takes(rules: Iterable[Rule]) -> float:
    """Seconds that a repair of all violations takes about: three looks, and the rows."""
    rules = list(rules)
    labels = [rule.label for rule in rules]
    looks = Result.objects.filter(rule__in=labels, database=DEFAULT_DB_ALIAS, violations__isnull=False)
    latest = looks.order_by("rule", "-pk").distinct("rule").values_list("violations", flat=True)
    return 3 * looking_takes(rules) + sum(found or 0 for found in latest) / ROWS_A_SECOND


def strategy_of(rule: Rule, wanted: str | None, *, alone: bool) -> str:
    """The strategy by name; a rule that has a single repair needs none. Raises UsageError."""
    if not rule.repairs:
        raise UsageError(f"{rule.label} declares no repair: it is for a person to decide.")
    if wanted not in rule.repairs and not alone and len(rule.repairs) == 1:
        return next(iter(rule.repairs))
    if wanted is None and len(rule.repairs) > 1:
        raise UsageError(f"{rule.label} has several repairs; choose a strategy: {', '.join(rule.repairs)}.")
    return rule.strategy(wanted)[0]


def keys_of(rules: Sequence[Rule], given: Sequence[Given] | None) -> list[Key] | None:
    """Typed keys; they must mean the same for every rule. Raises Refusal."""
    if given is None:
        return None
    models = {rule.model._meta.label for rule in rules}
    if len(models) != 1:
        named = ", ".join(sorted(models))
        raise Refusal(422, f"Keys belong to one model, and these rules are about {named}. Name the rule.", "keys")
    with about("keys"):
        return [_key(rules[0], key) for key in given]


def _key(rule: Rule, given: Given) -> Key:
    if isinstance(given, dict):
        return from_parts(rule.key_fields, rule.model._meta.label, given)
    return rule.parse_key(str(given))
