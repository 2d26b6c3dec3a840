"""import: rows of a feed, all of them or none."""

from __future__ import annotations

from typing import Any

from integrity.management.base import EngineCommand
from integrity.management.importing import add_importing, import_files
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    parser.add_argument("name", metavar="IMPORT", help="app.name")
    add_importing(parser)


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    from integrity.importing.known import imports

    import_files(command, imports.get(options["name"]), options)


VERB = Verb(
    "import",
    "Bring the rows of a feed into the database, all of them or none.",
    "manage.py integrity import shop.nightly /var/feeds/tonight --dry-run",
    _arguments,
    _perform,
)
