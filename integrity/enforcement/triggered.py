"""Rules that triggers keep true: installed as migrations install them, told apart by django-pgtrigger's hash."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from django.db import connections

from integrity.enforcement.base import DISABLED, GUARDED, MISSING, OUTDATED, Enforcement, Found, Step, together
from integrity.exceptions import Refused
from integrity.statement import Statement, fetch


class Triggered(Enforcement):
    """Several triggers, none of which would do without the others."""

    recorded: ClassVar[bool] = True
    needs_pgtrigger: ClassVar[bool] = True

    @abstractmethod
    def triggers(self) -> list[tuple[Any, Any]]:
        """Models, each with a trigger on its table."""

    def found(self, using: str) -> Found:
        """The worst of them: not there, otherwise than declared (by hash or by text), switched off."""
        found = _states(self.triggers(), connections[using])
        return Found(next(state for state in (MISSING, OUTDATED, DISABLED, GUARDED) if state in found))

    def guard(self, using: str) -> list[Step]:
        return [together(*(_verbatim(trigger.compile(model).install_sql) for model, trigger in self.triggers()))]

    def remove(self, using: str) -> list[Step]:
        """What is there: some of the triggers may have gone, and a function without its trigger goes too."""
        compiled = [trigger.compile(model) for model, trigger in self.triggers()]
        there = fetch(
            connections[using],
            Statement(
                "SELECT n FROM unnest(%s::text[]) AS n WHERE EXISTS (SELECT FROM pg_trigger WHERE tgname = n)"
                " OR EXISTS (SELECT FROM pg_proc WHERE proname = n)",
                ([trigger.sql.pgid for trigger in compiled],),
            ),
        )
        found = {row["n"] for row in there}
        going = [_verbatim(trigger.uninstall_sql) for trigger in compiled if trigger.sql.pgid in found]
        return [together(*going)] if going else []

    def refuse(self, using: str) -> None:
        """Whoever writes to a partition or a child table by its own name fires no trigger of the table above."""
        tables = related_tables({model._meta.db_table for model, _ in self.triggers()}, using)
        if tables:
            raise Refused(
                f"{', '.join(tables)} is partitioned, inherits or is inherited from: a write to one"
                " of its tables by name would pass the triggers of the others. Leave enforce= out and repair by cron."
            )

    def declare(self) -> None:
        import pgtrigger

        # Django gets ready once more where a test changes INSTALLED_APPS.
        known = {trigger.get_uri(model) for model, trigger in pgtrigger.registered()}
        for model, trigger in self.triggers():
            if trigger.get_uri(model) not in known:
                trigger.register(model)

    def version(self) -> str:
        hashes = [trigger.compile(model).hash for model, trigger in self.triggers()]
        return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()

    def trigger_names(self) -> set[str]:
        return {trigger.get_pgid(model) for model, trigger in self.triggers()}


def related_tables(tables: set[str], using: str) -> list[str]:
    """Those of some tables that are partitioned, partitions, or in PostgreSQL's inheritance."""
    found = fetch(
        connections[using],
        Statement(
            "SELECT t FROM unnest(%s::text[]) AS t JOIN pg_class AS c ON c.oid = to_regclass(quote_ident(t))"
            " WHERE c.relkind <> 'r' OR c.relispartition"
            " OR EXISTS (SELECT FROM pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid))",
            (sorted(tables),),
        ),
    )
    return [row["t"] for row in found]


def _verbatim(text: str) -> Statement:
    return Statement(text.replace("%", "%%"))


_INSTALLED = """
    SELECT t.oid, obj_description(t.oid) AS hash, tgenabled AS enabled, p.prosrc AS source, prosecdef
        AND EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c LIKE 'search_path=%%') AS secured
    FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS w (owner, trigger, place)
    LEFT JOIN (pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid)
        ON tgrelid = to_regclass(quote_ident(w.owner)) AND tgname = w.trigger
    ORDER BY w.place
"""


def _states(triggers: Sequence[tuple[Any, Any]], connection: Any) -> list[str]:
    tables = [model._meta.db_table for model, _ in triggers]
    names = [trigger.get_pgid(model) for model, trigger in triggers]
    found = fetch(connection, Statement(_INSTALLED, (tables, names)))
    return [_state(row, trigger.compile(model)) for row, (model, trigger) in zip(found, triggers, strict=True)]


def _state(found: dict[str, Any], declared: Any) -> str:
    if found["oid"] is None:
        return MISSING
    if found["hash"] != declared.hash or found["source"].strip() not in str(declared.sql) or not found["secured"]:
        return OUTDATED
    # Disabled, or fired on a replica alone.
    return DISABLED if found["enabled"] in ("D", "R") else GUARDED
