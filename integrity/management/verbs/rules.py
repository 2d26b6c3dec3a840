"""rules: what is declared."""

from __future__ import annotations

from typing import Any

from django.db import DatabaseError, InterfaceError

from integrity.exceptions import EngineError
from integrity.management.base import EngineCommand, add_format, explain
from integrity.management.verbs.arguments import add_rules, add_tag
from integrity.management.verbs.base import Verb
from integrity.registry import registry
from integrity.reports import States
from integrity.rules.base import Rule


def _arguments(parser: Any) -> None:
    add_rules(parser)
    add_tag(parser)
    add_format(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    rules = registry.select(options["rules"], options["tag"])
    states, error = _states(rules)
    if options["format"] == "table":
        from integrity.rendering.terminal import print_rules

        print_rules(command.console(options), rules, states)
    else:
        from integrity.rendering.listing import rules_as_csv, rules_as_json

        as_json = options["format"] == "json"
        command.stdout.write(rules_as_json(rules, states, error) if as_json else rules_as_csv(rules, states))
    if error:
        command.stderr.write(error)
        raise SystemExit(EngineError.exit_code)


def _states(rules: list[Rule]) -> tuple[dict[str, States], str]:
    """What the database does for each rule; and why that is not known, where the database cannot be asked.

    It is not asked where nothing is declared to be enforced or tracked.
    """
    unknown = {
        rule.label: States("unknown" if rule.enforce else "", "unknown" if rule.tracked else "") for rule in rules
    }
    if not any(rule.enforce or rule.tracked for rule in rules):
        return unknown, ""
    try:
        return {rule.label: _state(rule) for rule in rules}, ""
    except (DatabaseError, InterfaceError) as error:
        return unknown, f"What the database does for the rules is not known. {explain(error)[0]}"


def _state(rule: Rule) -> States:
    from integrity.enforcement.states import found, tracking

    state, why = found(rule) if rule.enforce else ("", "")
    return States(state, tracking(rule), why)


VERB = Verb("rules", "List the declared rules.", "manage.py integrity rules players", _arguments, _perform)
