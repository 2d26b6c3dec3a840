"""manage.py integrity VERB: the engine on the command line."""

from __future__ import annotations

from argparse import RawDescriptionHelpFormatter
from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand, add_django_options
from integrity.management.verbs import VERBS


class Command(EngineCommand):
    """A door for each verb."""

    help = "Find what breaks the declared rules, repair it, verify the repair, take it back."
    epilog = "Exit codes: 0 clean, 1 violations or planned changes, 2 usage error, 3 not checked or not finished."

    def add_arguments(self, parser: CommandParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        for verb in VERBS.values():
            parser = verbs.add_parser(
                verb.name,
                help=verb.help,
                description=verb.help,
                epilog=f"Example: {verb.example}",
                formatter_class=RawDescriptionHelpFormatter,
            )
            add_django_options(parser)
            self.refuse_in_json(parser)
            verb.add_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        VERBS[options["verb"]].perform(self, options)
