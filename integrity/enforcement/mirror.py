"""The body of a trigger function that brings what was written to one of two tables to the other one.

A field travels when it changed, and only where the other row says something else. So two conflicting rows are not
overwritten by a change of something else, and what arrives does not travel back. A row is inserted where there is no
counterpart; where there is one nobody can say which is right, and the next look at the rule tells of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model

from integrity.enforcement.names import NEW, OLD
from integrity.keys import column_of, pk_columns
from integrity.rules.agrees_pairs import Pairs
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, joined, name, names

if TYPE_CHECKING:
    from integrity.rules.agrees import Agrees


def mirror(rule: Agrees, model: type[Model], event: str) -> str:
    """What the trigger of one event on one of the two tables does."""
    work = _Mirror(rule, model)
    steps = {"insert": work.insert, "update": work.update, "delete": work.delete}[event]()
    return "\n".join(step.literal() for step in steps) + "\nRETURN NULL;"


class _Mirror:
    """Statements that write to ``t``, the other table, what became of the rows ``n`` and ``o`` of this one."""

    def __init__(self, rule: Agrees, model: type[Model]) -> None:
        self.rule = rule
        is_left = model is rule.model
        self.other = rule.other if is_left else rule.model
        pairs = list(rule.mapped.items()) if is_left else [(right, left) for left, right in rule.mapped.items()]
        own = {here: column_of(model, here) for here, _ in pairs}
        self.columns = {own[here]: column_of(self.other, there) for here, there in pairs}
        self.keys = dict(list(self.columns.items())[: len(rule.on)])
        self.fields = dict(list(self.columns.items())[len(rule.on) :])
        self.left_names = dict(zip(self.columns, rule.mapped, strict=True))
        self.parts: dict[str, Part] = {
            "this": name(model._meta.db_table),
            "other": name(self.other._meta.db_table),
            "new": Statement(NEW),
            "old": Statement(OLD),
            "same_row": joined(" AND ", (compose("n.{c} = o.{c}", c=name(c)) for c in pk_columns(model))),
            "of_new": self._keyed("n", "t"),
            "of_old": self._keyed("o", "t"),
            "here": joined(" AND ", (compose("h.{c} = o.{c}", c=name(c)) for c in self.keys)),
            "columns": names(self.columns.values()),
            "values": joined(", ", (self._value(c) for c in self.columns)),
            "changed": compose(
                "({n}) IS DISTINCT FROM ({o})", n=names(self.columns, of="n"), o=names(self.columns, of="o")
            ),
        }

    def insert(self) -> list[Statement]:
        return [
            self._nothing_to_do(NEW),
            compose(
                "INSERT INTO {other} ({columns}) SELECT {values} FROM {new} AS n"
                " WHERE NOT EXISTS (SELECT FROM {other} AS t WHERE {of_new}) ON CONFLICT DO NOTHING;",
                **self.parts,
            ),
        ]

    def update(self) -> list[Statement]:
        sets = [compose("{there} = n.{here}", there=name(t), here=name(h)) for h, t in self.keys.items()]
        now = [compose("n.{here}", here=name(h)) for h in self.keys]
        for here, there in self.fields.items():
            value = compose(
                "CASE WHEN n.{h} IS DISTINCT FROM o.{h} AND {differ} THEN {value} ELSE t.{t} END",
                h=name(here),
                t=name(there),
                differ=self._differ(here, there),
                value=self._value(here),
            )
            sets.append(compose("{t} = {value}", t=name(there), value=value))
            now.append(value)
        return [
            self._nothing_to_do(NEW),
            self._delete(),
            compose(
                "UPDATE {other} AS t SET {sets} FROM {new} AS n JOIN {old} AS o ON {same_row}"
                " WHERE {of_old} AND {changed} AND ({before}) IS DISTINCT FROM ({now});",
                sets=joined(", ", sets),
                before=names(self.columns.values(), of="t"),
                now=joined(", ", now),
                **self.parts,
            ),
            compose(
                "INSERT INTO {other} ({columns}) SELECT {values} FROM {new} AS n LEFT JOIN {old} AS o ON {same_row}"
                " WHERE {changed} AND NOT EXISTS (SELECT FROM {other} AS t WHERE {of_new}) ON CONFLICT DO NOTHING;",
                **self.parts,
            ),
        ]

    def delete(self) -> list[Statement]:
        return [
            self._nothing_to_do(OLD),
            compose(
                "DELETE FROM {other} AS t USING {old} AS o"
                " WHERE {of_old} AND NOT EXISTS (SELECT FROM {this} AS h WHERE {here});",
                **self.parts,
            ),
        ]

    def _delete(self) -> Statement:
        """Of an update that changed a primary key: what had the old one and has no successor with its key."""
        return compose(
            "DELETE FROM {other} AS t USING {old} AS o WHERE {of_old}"
            " AND NOT EXISTS (SELECT FROM {new} AS n WHERE {same_row})"
            " AND NOT EXISTS (SELECT FROM {this} AS h WHERE {here});",
            **self.parts,
        )

    @staticmethod
    def _nothing_to_do(table: str) -> Statement:
        # What arrives from the other side and changes nothing here ends here.
        return Statement(f"IF NOT EXISTS (SELECT FROM {table}) THEN RETURN NULL; END IF;")

    def _keyed(self, row: str, other: str) -> Statement:
        return joined(
            " AND ",
            (
                compose("{o}.{there} = {r}.{here}", o=name(other), there=name(t), r=name(row), here=name(h))
                for h, t in self.keys.items()
            ),
        )

    def _differ(self, here: str, there: str) -> Statement:
        """Whether the other row says something else: not where it has NULL for the value that arrives, or the reverse.

        Without this a NULL that arrived as the value that it stands for would come back as that.
        """
        if not self.rule.has_stand_in(self.left_names[here]):
            return Statement("true")
        return compose(
            "COALESCE(n.{h}, {v}) IS DISTINCT FROM COALESCE(t.{t}, {v})",
            h=name(here),
            t=name(there),
            v=self._stand_in(here),
        )

    def _stand_in(self, column: str) -> Statement:
        return Pairs(self.rule, Scope(), DEFAULT_DB_ALIAS).stand_in(self.left_names[column])

    def _value(self, column: str) -> Statement:
        """The new value; what a NULL stands for, where the other table takes no NULL."""
        field, held = self.left_names[column], compose("n.{c}", c=name(column))
        target = self.rule.right(field) if self.other is self.rule.other else self.rule.left(field)
        if target.null or not self.rule.has_stand_in(field):
            return held
        return compose("COALESCE({held}, {stand_in})", held=held, stand_in=self._stand_in(column))
