"""Imports what the provider sends; no team that somebody's row points at changes its number."""

from integrity.management.importing import ImportCommand


class Command(ImportCommand):
    """A door to the import `teams.nightly`."""

    help = "Import leagues, clubs, series and teams from the provider's files, all of them or nothing."
    label = "teams.nightly"
    only_option = "--league"
    epilog = (
        "Example: manage.py import_teams /var/feeds/tonight --league APTA_NORTH --dry-run\n"
        "Exit codes: 0 imported, 1 a dry run would change rows, 2 usage error, 3 rejected rows or nothing done."
    )
