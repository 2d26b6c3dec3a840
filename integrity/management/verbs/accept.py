"""accept: an exception that somebody answers for."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand
from integrity.management.verbs.arguments import moment
from integrity.management.verbs.base import Verb
from integrity.registry import registry


def _arguments(parser: Any) -> None:
    parser.add_argument("rules", nargs=1, metavar="RULE", help="app.name")
    parser.add_argument("--key", required=True, metavar="K", help="Which violation.")
    parser.add_argument("--reason", default="", metavar="TEXT", help="Why; required unless --revoke.")
    parser.add_argument("--until", type=moment, metavar="DATE", help="When it expires (default: never).")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")
    parser.add_argument("--revoke", action="store_true", help="Take the acceptance back.")


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.engine import accept, revoke
    from integrity.records import default_actor

    (rule,) = [registry.get(label) for label in options["rules"]]
    key = rule.parse_key(options["key"])
    if options["revoke"]:
        found = revoke(rule, key)
    else:
        found = accept(rule, key, by=default_actor(), because=options["reason"], until=options["until"])
    if options["format"] == "json":
        from integrity.rendering.listing import accepted_as_json

        command.stdout.write(accepted_as_json(rule, found))
        return
    if options["revoke"]:
        command.stdout.write(f"{rule.label} at {options['key']} counts again.")
        return
    until = f"until {found.accepted_until:%Y-%m-%d %H:%M %Z}" if found.accepted_until else "until it is revoked"
    command.stdout.write(f"{rule.label} at {options['key']} is accepted {until}.")


VERB = Verb(
    "accept",
    "Accept a violation as an exception: neither counted nor repaired until it expires.",
    'manage.py integrity accept players.mileage_adds_up --key 17 --reason "device lost" --until 2030-01-31',
    _arguments,
    _perform,
)
