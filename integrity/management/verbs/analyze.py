"""analyze: look for violations."""

from __future__ import annotations

from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections

from integrity.exceptions import UnknownName, UsageError
from integrity.keys import Key
from integrity.management.base import EngineCommand, add_format
from integrity.management.queued import add_queue, leave_to_workers, require_queue
from integrity.management.verbs.arguments import add_key, add_rules, add_tag, keys_of
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.scope import Scope


def _arguments(parser: Any) -> None:
    add_rules(parser)
    add_tag(parser)
    add_key(parser)
    parser.add_argument(
        "--changed",
        action="store_true",
        help="Only keys that have changed since the last look, of rules that are tracked; the answer is for all keys.",
    )
    parser.add_argument("--database", default=DEFAULT_DB_ALIAS, metavar="DB", help="Which database to look at.")
    parser.add_argument("--sql", action="store_true", help="Print the statement of each rule as well.")
    add_queue(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.engine import analyze

    rules = registry.select(options["rules"], options["tag"])
    keys = keys_of(rules, options["key"])
    using = _database(options["database"])
    require_queue(options)
    if options["changed"]:
        rules = _tracked(rules, options)
    if options["queue"]:
        _put_off(command, rules, keys, using, options)
        return
    report = command.perform(
        lambda watch: analyze(
            rules, keys=keys, changed=options["changed"], using=using, sample=options["limit"], observer=watch
        ),
        options,
    )
    if options["sql"]:
        for rule, result in zip(rules, report.rules, strict=True):
            result.sql = rule.violations(Scope.of(keys), using).inline(connections[using])
    command.finish(report, options)


def _put_off(
    command: EngineCommand, rules: list[Rule], keys: list[Key] | None, using: str, options: dict[str, Any]
) -> None:
    from integrity.workers import later

    for option in ("changed", "sql"):
        if options[option]:
            raise UsageError(f"--{option} is not for worker processes: leave --queue out.")
    leave_to_workers(command, later.analyze(rules, keys=keys, using=using), options)


def _tracked(rules: list[Rule], options: dict[str, Any]) -> list[Rule]:
    """Those that were named, and of an app those that are tracked."""
    if options["key"]:
        raise UsageError("--changed finds the keys itself: leave --key out.")
    return [rule for rule in rules if rule.tracked or rule.label in options["rules"]]


def _database(alias: str) -> str:
    if alias not in connections.databases:
        raise UnknownName("database", alias, list(connections.databases))
    return alias


VERB = Verb(
    "analyze",
    "Look for violations; writes nothing but records.",
    "manage.py integrity analyze players.mileage_adds_up --key 17 --format json",
    _arguments,
    _perform,
)
