"""The sequence that an Ordered rule speaks about, as SQL: each row with what stands before and after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import BooleanField, Case, F, Q, QuerySet, Value, When

from integrity.keys import columns_of
from integrity.paths import resolve
from integrity.scope import Scope
from integrity.statement import Statement, compose, from_queryset, joined, name

if TYPE_CHECKING:
    from integrity.rules.ordered import Ordered


class Rows:
    """From the inside out: rows, rows marked, rows that say something new, rows in their series."""

    def __init__(self, rule: Ordered, scope: Scope, using: str, only: QuerySet[Any, Any] | None) -> None:
        self.rule, self.scope, self.using = rule, scope, using
        self.model = rule.model
        self.keys = columns_of(rule.model)
        self.only = only
        if only is None and scope.narrow and rule.within:
            # Of several fields the first alone: more rows than needed never change what is found in scope.
            self.only = self._in_scope().values(rule.within[0])
        self.groups = [name(f"group_{position}") for position in range(len(rule.within))]
        self.moments = [name(f"moment_{position}") for position in range(len(rule.along))]

    def in_series(self) -> Statement:
        """Rows that say something new, with the ones before and after; a neighbour of another series is none."""
        return compose(
            "SELECT {keys}, {groups} f.place, f.value, f.moment_0 AS moment,"
            " CASE WHEN NOT f.begins THEN f.previous END AS previous,"
            " CASE WHEN NOT f.begins THEN f.previous_moment END AS previous_moment,"
            " CASE WHEN NOT f.next_begins THEN f.next END AS next,"
            " CASE WHEN NOT f.next_begins THEN f.next_moment END AS next_moment"
            " FROM ({fresh}) AS f",
            keys=joined(", ", (name("f", f"key__{key.name}") for key in self.keys)),
            groups=Statement("".join(f"f.group_{position}, " for position in range(len(self.groups)))),
            fresh=self._fresh(),
        )

    def _fresh(self) -> Statement:
        """Rows that begin a series or do not repeat the value before them, with those next to them then."""
        return compose(
            "SELECT m.*, row_number() OVER w AS place,"
            " lag(m.value) OVER w AS previous, lag(m.moment_0) OVER w AS previous_moment,"
            " lead(m.value) OVER w AS next, lead(m.moment_0) OVER w AS next_moment,"
            " coalesce(lead(m.begins) OVER w, false) AS next_begins"
            " FROM ({marked}) AS m WHERE m.begins OR m.value IS DISTINCT FROM m.repeated WINDOW w AS {w}",
            marked=self._marked(),
            w=self._window("m"),
        )

    def _marked(self) -> Statement:
        """All rows, with what they repeat and whether they begin a series.

        OFFSET 0: whether they do is looked up once, not each time that it is mentioned further out. ORDER BY: rows are
        in this order already, and so they need not be sorted further out.
        """
        return compose(
            "SELECT n.*, n.restarts OR {interrupted} AS begins FROM ("
            "SELECT r.*, lag(r.value) OVER w AS repeated, lag(r.moment_0) OVER w AS since FROM ({rows}) AS r"
            " WINDOW w AS {w}) AS n ORDER BY {order} OFFSET 0",
            interrupted=self._interrupted(),
            rows=self._rows(),
            w=self._window("r"),
            order=joined(", ", (*(compose("n.{g}", g=group) for group in self.groups), self._order("n"))),
        )

    def _rows(self) -> Statement:
        """The rows that say something, of the groups that the scope is in."""
        rows = self.model._base_manager.using(self.using).order_by().filter(self.rule.where or Q())
        said = [self.rule.column, *self.rule.along, *self.rule.within]
        rows = rows.filter(**{f"{column}__isnull": False for column in dict.fromkeys(said)})
        if self.only is not None:
            rows = rows.filter(**{f"{self.rule.within[0]}__in": self.only})
        restarts: Any = Value(value=False, output_field=BooleanField())
        if self.rule.restarts:
            restarts = Case(When(self.rule.restarts, then=Value(value=True)), default=restarts)
        prefix = "integrity_"
        columns: dict[str, Any] = {f"{prefix}key_{position}": F(key.name) for position, key in enumerate(self.keys)}
        columns |= {f"{prefix}group_{position}": F(field) for position, field in enumerate(self.rule.within)}
        columns |= {f"{prefix}moment_{position}": F(field) for position, field in enumerate(self.rule.along)}
        columns |= {f"{prefix}value": F(self.rule.column)}
        columns |= {f"{prefix}restarts": restarts}
        selected = from_queryset(rows.values(**columns), self.using)
        outputs = {column: column.removeprefix(prefix) for column in columns}
        outputs |= {f"{prefix}key_{position}": f"key__{key.name}" for position, key in enumerate(self.keys)}
        renamed = joined(", ", (compose("t.{c} AS {o}", c=name(c), o=name(o)) for c, o in outputs.items()))
        return compose("SELECT {renamed} FROM ({selected}) AS t", renamed=renamed, selected=selected)

    def _window(self, alias: str) -> Statement:
        ordered = self._order(alias)
        if not self.groups:
            return compose("(ORDER BY {order})", order=ordered)
        groups = joined(", ", (compose("{a}.{c}", a=name(alias), c=group) for group in self.groups))
        return compose("(PARTITION BY {groups} ORDER BY {order})", groups=groups, order=ordered)

    def _order(self, alias: str) -> Statement:
        # A key that the order names itself is not sorted by twice: the planner does not see that it is the same.
        rest = [name(f"key__{key.name}") for key in self.keys if key.name not in self.rule.along]
        return joined(", ", (compose("{a}.{c}", a=name(alias), c=column) for column in (*self.moments, *rest)))

    def _interrupted(self) -> Statement:
        """That something stands between a row and the one before it."""
        if not self.rule.interrupted_by:
            return Statement("false")
        path = resolve(self.model, self.rule.interrupted_by)
        hop = path.hops[1]
        rows: QuerySet[Any, Any] = hop.model._base_manager.using(self.using).order_by()
        found = rows.values(integrity_group=F(hop.column), integrity_moment=F("__".join(path.rest)))
        return compose(
            "EXISTS (SELECT FROM ({found}) AS i WHERE i.integrity_group = n.{group}"
            " AND i.integrity_moment > n.since AND i.integrity_moment <= n.moment_0)",
            found=from_queryset(found, self.using),
            group=name(f"group_{self.rule.within.index(path.hops[0].name)}"),
        )

    def _in_scope(self) -> QuerySet[Any, Any]:
        return self.scope.restrict_root(self.model._base_manager.using(self.using).order_by())
