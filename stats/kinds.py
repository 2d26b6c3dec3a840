"""A kind of truth of our own: each line of a history begins where the one before it ended."""

from collections.abc import Sequence
from typing import Any

from django.db.models import Exists, F, Model, OuterRef, Window
from django.db.models.functions import Lag

from integrity.paths import Path, resolve
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, name


class Unbroken(Rule):
    """``Unbroken(Line, old="old", new="new", within=["user", "stat"], ...)``: lines of a series follow each other.

    A series is made of the lines with equal values of ``within``, in the order of their ``id``. siblings: the
    lookup from a line to those of its series, by which the engine knows which lines a write concerns.
    """

    kind = "unbroken"

    def __init__(
        self, model: type[Model], *, old: str, new: str, within: Sequence[str], siblings: str, **options: Any
    ) -> None:
        super().__init__(model, **options)
        self.old, self.new, self.within, self.siblings = old, new, list(within), siblings

    def violations(self, scope: Scope, using: str) -> Statement:
        rows = self.model._base_manager.using(using).order_by()
        wanted = scope.restrict_root(rows)
        if scope != Scope():
            same = {part: OuterRef(part) for part in self.within}
            rows = rows.filter(Exists(wanted.filter(**same)))
        previous = Window(Lag(self.new), partition_by=[F(part) for part in self.within], order_by="pk")
        lines = rows.annotate(integrity_before=previous).values("id", self.old, "integrity_before")
        found = compose(
            "SELECT r.id AS key__id, r.{old} AS {actual}, r.integrity_before AS {expected}"
            " FROM ({lines}) AS r WHERE r.{old} <> r.integrity_before",
            old=name(self.old),
            actual=name(f"actual__{self.old}"),
            expected=name(f"expected__{self.old}"),
            lines=from_queryset(lines, using),
        )
        if scope == Scope():
            return found
        return compose(
            "SELECT f.* FROM ({found}) AS f WHERE f.key__id IN ({wanted})",
            found=found,
            wanted=from_queryset(wanted.values("id"), using),
        )

    def paths(self) -> list[Path]:
        return [resolve(self.model, lookup) for lookup in (*self.within, self.old, self.new, self.siblings)]
