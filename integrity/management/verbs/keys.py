"""keys: what opens the API to programs."""

from __future__ import annotations

import json
from typing import Any

from django.utils import timezone

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand
from integrity.management.verbs.arguments import moment
from integrity.management.verbs.base import Verb

_MOMENTS = ("created_at", "expires_at", "revoked_at", "last_used_at")


def _arguments(parser: Any) -> None:
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--create", metavar="NAME", help="Make a key for whoever is called so; it is shown once.")
    group.add_argument("--revoke", metavar="PREFIX", help="The key that begins so opens nothing any more.")
    parser.add_argument(
        "--scope",
        action="append",
        default=[],
        metavar="S",
        help="What a new key may do; repeatable: read, analyze, repair, undo, accept, enforce, control, import.",
    )
    parser.add_argument("--expires", type=moment, metavar="DATE", help="When a new key expires (default: never).")
    parser.add_argument("--format", choices=["table", "json"], default="table", help="How to print it.")


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.apikeys import create_key, revoke_key
    from integrity.models import ApiKey
    from integrity.records import default_actor

    if not options["create"] and (options["scope"] or options["expires"]):
        raise UsageError("--scope and --expires are said of a new key: give its name with --create.")
    secret = ""
    if options["create"]:
        secret, made = create_key(
            options["create"], options["scope"], by=default_actor(), expires_at=options["expires"]
        )
        shown = [made]
    elif options["revoke"]:
        shown = [revoke_key(options["revoke"])]
    else:
        shown = list(ApiKey.objects.all())
    if options["format"] == "json":
        from integrity.rendering.machine import list_object

        told = [_object(key) | ({"key": secret} if secret else {}) for key in shown]
        command.stdout.write(json.dumps(list_object("keys", [], keys=told), ensure_ascii=False))
    elif secret:
        command.stdout.write(f"{secret}\nThis is the only time that it is shown. Send it in the header X-Api-Key.")
    elif options["revoke"]:
        command.stdout.write(f"The key {shown[0]} opens nothing any more.")
    else:
        _print(command, options, shown)


def _object(key: Any) -> dict[str, Any]:
    moments = {name: getattr(key, name) for name in _MOMENTS}
    told = {"name": key.name, "prefix": key.prefix, "scopes": key.scopes, "created_by": key.created_by}
    return told | {name: at.isoformat() if at else None for name, at in moments.items()}


def _print(command: EngineCommand, options: dict[str, Any], keys: list[Any]) -> None:
    from integrity.rendering.terminal import table

    out = command.console(options)
    if not keys:
        out.print("No keys yet. To make one: manage.py integrity keys --create nightly --scope read")
        return
    rows = [
        [key.prefix, key.name, " ".join(key.scopes), _state(key), _told(key.last_used_at), key.created_by]
        for key in keys
    ]
    out.print(table(["begins with", "name", "scopes", "state", "last used", "made by"], rows))


def _state(key: Any) -> str:
    if key.revoked_at:
        return f"revoked {_told(key.revoked_at)}"
    if key.expires_at:
        word = "expired" if key.expires_at <= timezone.now() else "until"
        return f"{word} {_told(key.expires_at)}"
    return "valid"


def _told(at: Any) -> str:
    return timezone.localtime(at).strftime("%Y-%m-%d %H:%M") if at else "never"


VERB = Verb(
    "keys",
    "List the keys of the API; make one, or revoke it.",
    "manage.py integrity keys --create nightly --scope read --scope analyze --expires 2030-01-31",
    _arguments,
    _perform,
)
