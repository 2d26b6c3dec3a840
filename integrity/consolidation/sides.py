"""The two tables of a rule, seen from the one that references leave: from the old one to the new one, or back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import Model

from integrity.exceptions import Refused
from integrity.keys import column_of, pk_columns
from integrity.rules.agrees import Agrees
from integrity.statement import Statement, compose, fetch, joined, name


@dataclass(frozen=True)
class Sides:
    """``gone``: the model that references leave. ``kept``: the one that they point to afterwards."""

    rule: Agrees
    gone: type[Model]
    kept: type[Model]

    @classmethod
    def forwards(cls, rule: Agrees) -> Sides:
        """From the right table, which is to go, to the left one."""
        return cls(rule, rule.other, rule.model)

    @classmethod
    def backwards(cls, rule: Agrees) -> Sides:
        """The other way round."""
        return cls(rule, rule.model, rule.other)

    @property
    def pks(self) -> tuple[str, str]:
        """The primary keys of both. Raises Refused for one of several columns."""
        for model in (self.gone, self.kept):
            if len(pk_columns(model)) != 1:
                raise Refused(
                    f"{model._meta.db_table} has a primary key of several columns, which nothing can be pointed at."
                    " Nothing was written."
                )
        return pk_columns(self.gone)[0], pk_columns(self.kept)[0]

    def pairs(self) -> Statement:
        """A SELECT of the primary keys of counterparts, ``gone`` and ``kept``, with ``owner__<key>``."""
        gone, kept = self.pks
        return compose(
            "SELECT g.{gone} AS gone, k.{kept} AS kept, {owners} FROM {g} AS g JOIN {k} AS k ON {same}",
            gone=name(gone),
            kept=name(kept),
            owners=joined(
                ", ",
                (
                    compose("g.{c} AS {o}", c=name(column_of(self.gone, field)), o=name(f"owner__{key}"))
                    for key, field in zip(self.rule.on, self.rule.keys_of(self.gone), strict=True)
                ),
            ),
            g=name(self.gone._meta.db_table),
            k=name(self.kept._meta.db_table),
            same=joined(
                " AND ",
                (
                    compose("g.{g} = k.{k}", g=name(column_of(self.gone, g)), k=name(column_of(self.kept, k)))
                    for g, k in zip(self.rule.keys_of(self.gone), self.rule.keys_of(self.kept), strict=True)
                ),
            ),
        )

    def refuse_without_counterpart(self, table: str, column: str, connection: Any) -> None:
        """Raise Refused where rows of a table refer to rows that have no counterpart to be pointed at."""
        found = fetch(
            connection,
            compose(
                "SELECT count(*) AS n FROM {table} AS c WHERE c.{column} IS NOT NULL"
                " AND NOT EXISTS (SELECT FROM ({pairs}) AS p WHERE p.gone = c.{column})",
                table=name(table),
                column=name(column),
                pairs=self.pairs(),
            ),
        )[0]["n"]
        if found:
            raise Refused(
                f"{found} rows of {table} refer by {column} to rows of {self.gone._meta.db_table} that"
                f" {self.kept._meta.db_table} does not have. Nothing was written for them."
                f" Next: manage.py integrity consolidate {self.rule.label} --phase copy"
            )
