"""Owned: whoever wrote the row belongs to some of the rows that it may mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db.models import F, Model, Q

from integrity.exceptions import WrongDeclaration
from integrity.paths import resolve
from integrity.repairs.relink.step import Paths, Search, Step, count_in_words, one_row, path_of, problems_of
from integrity.statement import Statement, compose, from_queryset, joined

if TYPE_CHECKING:
    from integrity.rules.references import References


class Owned(Step):
    """``Owned({Poll: "created_by", Message: "captain"}, members=TeamMembership, user="user", target="team")``.

    owner: the path from a referring row to its owner. members: the table of memberships; user, target: its columns of
    the owner and of the row that is meant. primary: its boolean column of the memberships that come first; they decide
    only between rows of one ``within``, a path of the row meant, so that an owner with rows in two of them is ambiguous
    unless another step tells which. its: the path from a referring row to its own ``within``, where it has one: only
    rows of the same count. where: which memberships count.
    """

    extra = ("preferred", "groups")

    def __init__(
        self,
        owner: Paths,
        *,
        members: type[Model],
        user: str,
        target: str,
        primary: str | None = None,
        within: str | None = None,
        its: Paths | None = None,
        where: Q | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.owner, self.members, self.user, self.target = owner, members, user, target
        self.primary, self.within, self.its, self.where = primary, within, its, where or Q()

    def problems(self, rule: References) -> Iterable[WrongDeclaration]:
        assert rule.to is not None
        yield from problems_of(self, "owner", self.owner, rule)
        for what, column in (("user", self.user), ("target", self.target), ("primary", self.primary)):
            if column is not None:
                yield from one_row(self, what, self.members, column)
        if self.within is not None:
            yield from one_row(self, "within", rule.to, self.within)
        if self.its is None:
            return
        if self.within is None:
            yield WrongDeclaration(f"has the step {self.label!r} with its= and without within=", "Give both.")
        if (its := path_of(self.its, rule)) is not None:
            yield from one_row(self, "its", rule.model, its)

    def prepare(self, search: Search) -> None:
        self._owners = search.temporary("SELECT DISTINCT * FROM ({rows}) AS w", rows=self._witnesses(search))

    def ballots(self, search: Search) -> Statement:
        """Owners with the same rows to choose from say the same; an owner without any says nothing."""
        return compose(
            "SELECT old, candidates, preferred, groups, count(*) AS witnesses,"
            " CASE cardinality(candidates) WHEN 1 THEN {owners} || ' with this row alone'"
            " ELSE {owners} || ' with ' || cardinality(candidates) || ' rows' END"
            " || CASE WHEN cardinality(candidates) = 1 OR cardinality(preferred) = 0 THEN ''"
            " ELSE ', ' || cardinality(preferred) || ' of them primary' END AS says"
            " FROM (SELECT w.old, w.owner, w.its, array_agg(m.target ORDER BY m.target) AS candidates,"
            " array_agg(m.within ORDER BY m.target) AS groups,"
            " coalesce(array_agg(m.target ORDER BY m.target) FILTER (WHERE m.first), '{{}}') AS preferred"
            " FROM {witnesses} AS w JOIN ({members}) AS m"
            " ON m.owner = w.owner AND (w.its IS NULL OR w.its = m.within) GROUP BY w.old, w.owner, w.its) AS o"
            " GROUP BY old, candidates, preferred, groups",
            owners=count_in_words(Statement("count(*)"), "owner", "owners"),
            witnesses=self._owners,
            members=self._members(search),
        )

    def _witnesses(self, search: Search) -> Statement:
        """The owner of each referring row, and its own ``within``."""
        parts = []
        for rule in search.rules:
            paths = {"owner": path_of(self.owner, rule), "its": path_of(self.its, rule)}
            own = {column: path for column, path in paths.items() if path is not None}
            if "owner" in own:
                its = Statement("w.its::text" if "its" in own else "NULL::text")
                rows = search.witnesses_of(rule, own)
                parts.append(compose("SELECT w.old, w.owner::text, {its} AS its FROM ({w}) AS w", its=its, w=rows))
        nothing = compose(
            "SELECT NULL::{type} AS old, NULL::text AS owner, NULL::text AS its WHERE false", type=search.type
        )
        return joined(" UNION ALL ", parts) if parts else nothing

    def _members(self, search: Search) -> Statement:
        """Memberships of rows that are there: ``owner``, ``target``, ``first`` and ``within``."""
        end = resolve(self.members, self.target)
        reference = f"{self.target}__{search.on}" if end.hops else self.target
        columns: dict[str, Any] = {"integrity_owner": F(self.user), "integrity_target": F(reference)}
        if self.primary is not None:
            columns["integrity_first"] = F(self.primary)
        rows = self.members._base_manager.using(search.using).filter(self.where).values(**columns)
        return compose(
            "SELECT m.integrity_owner::text AS owner, t.target, bool_or({first}) AS first, {within} AS within"
            " FROM ({rows}) AS m JOIN ({targets}) AS t ON t.target = m.integrity_target::{type} GROUP BY 1, 2, 4",
            first=Statement("m.integrity_first" if self.primary is not None else "false"),
            within=Statement("t.within::text" if self.within is not None else "NULL::text"),
            rows=from_queryset(rows, search.using),
            targets=search.targets(**({"within": self.within} if self.within is not None else {})),
            type=search.type,
        )
