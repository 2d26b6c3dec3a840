"""What several verbs take, and what the typed words mean."""

from __future__ import annotations

from argparse import ArgumentTypeError
from datetime import datetime, time
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from integrity.exceptions import UsageError
from integrity.keys import Key
from integrity.rules.base import Rule


def add_rules(parser: Any) -> None:
    """Rules and apps; all of them where nothing is named."""
    parser.add_argument("rules", nargs="*", metavar="RULE|APP", help="app.name or app (default: all).")


def add_tag(parser: Any) -> None:
    """Rules chosen by what they have in common."""
    parser.add_argument("--tag", action="append", default=[], metavar="T", help="Only rules with this tag; repeatable.")


def add_key(parser: Any) -> None:
    """Some keys in place of whole tables."""
    parser.add_argument(
        "--key", action="append", metavar="K", help="Only this key, such as 17 or order=3,line=2; repeatable."
    )


def keys_of(rules: list[Rule], texts: list[str] | None) -> list[Key] | None:
    """Typed keys; they must mean the same for every rule that is looked at."""
    if texts is None:
        return None
    models = {rule.model._meta.label for rule in rules}
    if len(models) != 1:
        raise UsageError(
            f"--key belongs to one model, and these rules are about {', '.join(sorted(models))}. Name the rule."
        )
    return [rules[0].parse_key(text) for text in texts]


def strategy_of(rule: Rule, wanted: str | None, *, alone: bool) -> str:
    """The strategy by name. Among several rules one that has a single repair needs no name."""
    if wanted not in rule.repairs and not alone and len(rule.repairs) == 1:
        return next(iter(rule.repairs))
    if not rule.repairs:
        raise UsageError(
            f"{rule.label} declares no repair: it is for a person to decide."
            f" See: manage.py integrity analyze {rule.label}"
        )
    if wanted is None and len(rule.repairs) > 1:
        raise UsageError(f"{rule.label} has several repairs; choose one with --strategy: {', '.join(rule.repairs)}.")
    return rule.strategy(wanted)[0]


def moment(text: str) -> datetime:
    """A date or a time, in the project's time zone, for argparse."""
    try:
        day = parse_date(text)
        found = datetime.combine(day, time()) if day else parse_datetime(text)
    except ValueError:
        found = None
    if found is None:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2030-01-31 or a time such as 2030-01-31T12:00")
    return timezone.make_aware(found) if timezone.is_naive(found) else found
