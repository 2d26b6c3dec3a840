"""A References rule as a foreign key: first for new rows only, validated when the old ones lead somewhere."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import connections

from integrity.enforcement.base import (
    DISABLED,
    ENFORCED,
    GUARDED,
    MISSING,
    OUTDATED,
    Enforcement,
    Found,
    Step,
    declare_constraint,
    together,
)
from integrity.enforcement.foreign_key_constraint import RuleForeignKey, add_constraint
from integrity.enforcement.names import shortened
from integrity.enforcement.referring import pairs
from integrity.exceptions import Refused
from integrity.rules.references import References
from integrity.schema import unique_keys
from integrity.statement import Statement, compose, fetch, name


class Installed(NamedTuple):
    """A foreign key between the two tables as the catalog has it."""

    name: str
    pairs: frozenset[tuple[str, str]]
    validated: bool
    enabled: bool


class ForeignKey(Enforcement):
    """Refuses a reference to nothing, and to delete what is referred to. One that the model declares serves as well."""

    rule: References

    def found(self, using: str) -> Found:
        ours, keeping = self._installed(using)
        if keeping is None:
            return Found(OUTDATED if ours else MISSING)
        by = "" if keeping == ours else f"by {keeping.name}"
        if not keeping.enabled:
            return Found(DISABLED, by or f"triggers of {keeping.name} are switched off")
        return Found(ENFORCED if keeping.validated else GUARDED, by)

    def guard(self, using: str) -> list[Step]:
        return [together(self._drop(), Statement(add_constraint(self._constraint()).replace("%", "%%")))]

    def validate(self, using: str) -> list[Step]:
        """Every row is checked, without blocking writers."""
        _, keeping = self._installed(using)
        assert keeping is not None, "guarded before"
        return [together(compose("ALTER TABLE {t} VALIDATE CONSTRAINT {c}", t=self._table, c=name(keeping.name)))]

    def remove(self, using: str) -> list[Step]:
        ours, keeping = self._installed(using)
        if keeping is not None and keeping != ours:
            raise Refused(
                f"{self.rule.label} is kept true by {keeping.name}, which is not of its making. Declare the foreign key"
                f" of {self.rule.model._meta.label} with db_constraint=False and run makemigrations and migrate."
            )
        return [together(self._drop())] if ours else []

    def refuse(self, using: str) -> None:
        ours, keeping = self._installed(using)
        if keeping is not None and keeping != ours:
            table = self.rule.model._meta.db_table
            raise Refused(
                f"The triggers of {keeping.name} are switched off. To switch them on, as a superuser:"
                f' ALTER TABLE "{table}" ENABLE TRIGGER ALL, and the same for "{self._target}"'
            )
        columns = {target for _, target in pairs(self.rule)}
        unique = [key for key in unique_keys(self._target, connections[using]) if key.valid and key.where is None]
        # An order is printed as "order".
        if not any({part.strip('"') for part in key.parts} == columns for key in unique):
            raise Refused(
                f"{self._target} has no unique index on {', '.join(sorted(columns))} here, which a foreign key refers"
                " to. Run: manage.py migrate, or enforce the rule that makes them unique first."
            )

    def declare(self) -> None:
        field: Any = self.rule.model._meta.get_field(self.rule.columns[0])
        by_django = getattr(field, "db_constraint", False) and (
            field.related_model._meta.db_table == self._target
            and pairs(self.rule) == [(field.column, field.target_field.column)]
        )
        if not by_django:
            declare_constraint(self.rule, self._constraint())

    @property
    def _table(self) -> Any:
        return name(self.rule.model._meta.db_table)

    @property
    def _target(self) -> str:
        assert self.rule.to is not None
        return self.rule.to._meta.db_table

    def _constraint(self) -> RuleForeignKey:
        return RuleForeignKey(
            table=self.rule.model._meta.db_table,
            columns=[column for column, _ in pairs(self.rule)],
            to_table=self._target,
            to_columns=[target for _, target in pairs(self.rule)],
            name=foreign_key_name(self.rule),
        )

    def _drop(self) -> Statement:
        constraint = name(foreign_key_name(self.rule))
        return compose("ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}", table=self._table, name=constraint)

    def _installed(self, using: str) -> tuple[Installed | None, Installed | None]:
        """The rule's own constraint, and the one that keeps it true; its own where several do."""
        rows = fetch(
            connections[using],
            Statement(
                "SELECT c.conname, c.convalidated, c.confrelid = to_regclass(quote_ident(%s)) AS there,"
                " array(SELECT array[a.attname, b.attname]::text[] FROM unnest(c.conkey, c.confkey) AS u(k, f)"
                "  JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = u.k"
                "  JOIN pg_attribute AS b ON b.attrelid = c.confrelid AND b.attnum = u.f) AS pairs,"
                # One that is not enforced has no triggers.
                " coalesce((SELECT bool_and(tgenabled NOT IN ('D', 'R')) FROM pg_trigger"
                "  WHERE tgconstraint = c.oid), false) AS enabled"
                " FROM pg_constraint AS c WHERE c.contype = 'f' AND c.conrelid = to_regclass(quote_ident(%s))"
                " ORDER BY c.convalidated DESC, c.conname",
                (self._target, self.rule.model._meta.db_table),
            ),
        )
        there = [
            Installed(
                row["conname"],
                frozenset((column, target) for column, target in row["pairs"]) if row["there"] else frozenset(),
                row["convalidated"],
                row["enabled"],
            )
            for row in rows
        ]
        ours = next((key for key in there if key.name == foreign_key_name(self.rule)), None)
        keeping = [key for key in there if key.pairs == frozenset(pairs(self.rule))]
        return ours, ours if ours in keeping else next(iter(keeping), None)


def foreign_key_name(rule: References) -> str:
    """The name of the constraint, of at most 63 characters."""
    return shortened(f"{rule.app}_{rule.name}_leads", 63)
