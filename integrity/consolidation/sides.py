"""The two tables of a rule, seen from the one that references leave: from the old one to the new one, or back."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Model

from integrity.exceptions import Refused
from integrity.keys import column_of, pk_columns
from integrity.rules.agrees import Agrees
from integrity.statement import Statement, compose, joined, name


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
