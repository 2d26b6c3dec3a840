"""watch: who deletes rows that others refer to without a foreign key."""

from __future__ import annotations

import json
from typing import Any

from integrity import statuses
from integrity.keys import as_json
from integrity.management.base import EngineCommand, add_format
from integrity.management.verbs.base import Verb

_FIELDS = ("at", "table", "event", "rows", "dangling", "session_user", "role", "application_name", "client", "keys")


def _arguments(parser: Any) -> None:
    add_format(parser)
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--install", action="store_true", help="Install the triggers; they never stop a writer.")
    group.add_argument("--remove", action="store_true", help="Take them away. What was noted stays.")


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity import watch as watching

    models = watching.watched_models()
    if options["install"]:
        watching.install(models)
    elif options["remove"]:
        watching.remove(models)
    states = {model._meta.db_table: watching.state(model) for model in models}
    noted = watching.notes(options["limit"])
    rows = [{field: as_json(getattr(note, field)) for field in _FIELDS} for note in noted]
    if options["format"] == "json":
        found = statuses.VIOLATED if rows or _unwatched(states) else statuses.CLEAN
        told: dict[str, Any] = {"run": None, "verb": "watch", "status": found, "rules": [], "changes": 0}
        told |= {"tables": states, "noted": rows}
        command.stdout.write(json.dumps(told, ensure_ascii=False))
    elif options["format"] == "csv":
        from integrity.rendering.machine import lines

        command.stdout.write(lines(list(_FIELDS), [[row[field] for field in _FIELDS] for row in rows]))
    else:
        _print(command, options, states, rows)
    if not (options["install"] or options["remove"]) and (rows or _unwatched(states)):
        raise SystemExit(1)


def _unwatched(states: dict[str, str]) -> list[str]:
    return [table for table, state in states.items() if state != "watching"]


def _print(command: EngineCommand, options: dict[str, Any], states: dict[str, str], rows: list[dict[str, Any]]) -> None:
    from integrity.rendering.terminal import table

    out = command.console(options)
    if not states:
        out.print("No rule declares a reference that no foreign key keeps: there is nothing to watch.")
    else:
        out.print(table(["table", "watch"], list(states.items())))
    if rows:
        columns = ["at", "table", "event", "rows", "dangling", "by", "application"]
        told = [
            [r["at"], r["table"], r["event"], r["rows"], r["dangling"], r["role"], r["application_name"]] for r in rows
        ]
        out.print()
        out.print(table(columns, told, right=["rows"]))
    if _unwatched(states) and not options["remove"]:
        out.print("\nTo watch all of them: manage.py integrity watch --install")


VERB = Verb(
    "watch",
    "List who deleted rows that others refer to without a foreign key; watch for it.",
    "manage.py integrity watch --install",
    _arguments,
    _perform,
)
