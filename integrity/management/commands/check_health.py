"""The same as ``integrity health``, for cron."""

from typing import Any

from django.core.management.base import CommandParser

from integrity.management.base import EngineCommand
from integrity.management.verbs.health import add_health, show_health


class Command(EngineCommand):
    """A door to health."""

    verb = "health"
    help = "Tell how much of what is declared holds; exit 0 healthy, 1 degraded, 3 not checked."
    epilog = "Example: manage.py check_health teams --format json"

    def add_arguments(self, parser: CommandParser) -> None:
        add_health(parser)

    def handle(self, *_: Any, **options: Any) -> None:
        show_health(self, options)
