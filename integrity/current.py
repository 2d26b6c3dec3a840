"""Whether the tables of the engine are those that its code works with: for migrations that call it.

Such a migration depends on one migration of the engine, for good: a later dependency on a newer one would contradict
every database on which it is applied already. So it asks when it is about to need them.
"""

from __future__ import annotations

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.loader import MigrationLoader

from integrity.exceptions import Refused


def require_current_tables(then: str = "manage.py migrate") -> None:
    """Raise Refused while migrations of the engine are not applied; it names their command, and what to do ``then``."""
    label = apps.get_app_config("integrity").label
    loader = MigrationLoader(connections[DEFAULT_DB_ALIAS])
    missing = sorted(node for node in set(loader.graph.nodes) - set(loader.applied_migrations) if node[0] == label)
    if missing:
        raise Refused(
            f"The tables of {label} are not up to date ({missing[0][1]} is not applied). Nothing was written."
            f" Run manage.py migrate {label} first, then {then}."
        )
