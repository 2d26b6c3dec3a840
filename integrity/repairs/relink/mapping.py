"""Mapping: a table that an import keeps knows the natural key of the row that an id once had."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Mapping as MappingOf
from typing import TYPE_CHECKING, Any

from django.db.models import AutoField, F, Model, Q

from integrity.exceptions import WrongDeclaration
from integrity.paths import resolve
from integrity.repairs.relink.step import Search, Step, one_row
from integrity.statement import Statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.references import References

MOST = 50
"""Candidates of one natural key that are listed; a key with more of them tells nothing apart."""


class Mapping(Step):
    """``Mapping(TeamKey, old="team_id", by={"club": "club__name", "series": "series__name"})``.

    model: the table that is kept. old: its column of ids as they were. by: its columns that make up the natural key ->
    paths of the row that is meant. where: which of its rows count.

    An id with two natural keys, or a key that several rows have, is ambiguous; a key that no row has says that the row
    meant is there no more. A NULL in a key matches nothing. Ids that an import gives anew are refused as parts of a
    key: such a mapping leads to whatever row has the number today.
    """

    extra = ("open",)

    def __init__(
        self, model: type[Model], *, old: str, by: MappingOf[str, str], where: Q | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.model, self.old, self.by, self.where = model, old, dict(by), where or Q()

    def problems(self, rule: References) -> Iterable[WrongDeclaration]:
        assert rule.to is not None
        if not self.by:
            yield WrongDeclaration(f"has the step {self.label!r} without a natural key", "Give by={column: path}.")
        for column in (self.old, *self.by):
            if resolve(self.model, column).hops:
                yield WrongDeclaration(
                    f"has the step {self.label!r}, whose {column!r} is no column of {self.model._meta.label} itself,"
                    " so that it goes through an id that an import may give anew",
                    "Keep the natural key itself in the table, as text.",
                )
        for path in self.by.values():
            yield from one_row(self, "key", rule.to, path)
            end = resolve(rule.to, path).field
            if isinstance(end, AutoField) or end.is_relation:
                yield WrongDeclaration(
                    f"has the step {self.label!r}, whose key goes through the id {path!r}, which an import may give"
                    " anew",
                    "Name a column that stays, such as a name or the provider's own key.",
                )

    def prepare(self, search: Search) -> None:
        self._found = search.temporary(
            "SELECT m.old, m.number, m.key, t.target"
            " FROM (SELECT *, row_number() OVER (PARTITION BY old ORDER BY key) AS number FROM ({known}) AS k) AS m"
            " LEFT JOIN ({targets}) AS t ON {same}",
            known=self._known(search),
            targets=search.targets(**{f"k{i}": path for i, path in enumerate(self.by.values())}),
            same=joined(" AND ", (compose("t.{k}::text = m.{k}", k=name(f"k{i}")) for i in range(len(self.by)))),
        )

    def _known(self, search: Search) -> Statement:
        """The distinct natural keys of each id, with the key in words."""
        columns = {f"integrity_{i}": F(column) for i, column in enumerate(self.by)}
        rows = self.model._base_manager.using(search.using).filter(self.where, **{f"{self.old}__isnull": False})
        keys = [compose("r.{c}::text", c=name(column)) for column in columns]
        return compose(
            "SELECT DISTINCT r.integrity_old::{type} AS old, {named}, concat_ws(', ', {keys}) AS key"
            " FROM ({rows}) AS r",
            type=search.type,
            named=joined(", ", (compose("{key} AS {k}", key=key, k=name(f"k{i}")) for i, key in enumerate(keys))),
            keys=joined(", ", keys),
            rows=from_queryset(rows.values(integrity_old=F(self.old), **columns), search.using),
        )

    def ballots(self, search: Search) -> Statement:
        return compose(
            "SELECT old, 1::bigint AS witnesses,"
            " CASE WHEN count(target) <= {most} THEN array_remove(array_agg(DISTINCT target), NULL)"
            " ELSE '{{}}' END AS candidates, count(target) > {most} AS open,"
            " key || CASE count(target) WHEN 0 THEN ', which is there no more' WHEN 1 THEN ''"
            " ELSE ', which ' || count(target) || ' rows are' END AS says"
            " FROM {found} AS f GROUP BY old, number, key",
            most=value(MOST),
            found=self._found,
        )

    def proves(self, search: Search) -> Statement:
        return compose(
            "SELECT old, min(target) AS new FROM {found} AS f"
            " WHERE NOT EXISTS (SELECT FROM ({targets}) AS t WHERE t.target = f.old)"
            " GROUP BY old HAVING count(*) = 1 AND count(target) = 1",
            found=self._found,
            targets=search.targets(),
        )
