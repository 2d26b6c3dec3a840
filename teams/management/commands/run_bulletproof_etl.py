"""The other name of `import_teams`."""

from teams.management.commands.import_teams import Command

__all__ = ["Command"]
