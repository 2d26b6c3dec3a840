"""Relink: references to rows that are gone are pointed at the rows that they meant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self, cast

from django.db import connections
from django.db.models import F, Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, columns_of
from integrity.registry import registry
from integrity.repairs.base import BY_ROW, Repair, Write
from integrity.repairs.relink.collect import Collection
from integrity.repairs.relink.known import Earlier
from integrity.repairs.relink.step import Search, Step, id_type, target_field
from integrity.repairs.relink.verdict import RELINKED, Verdict
from integrity.schema import columns
from integrity.scope import Scope
from integrity.statement import Part, Statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.models import Run
    from integrity.reports import Undecided
    from integrity.rules.base import Rule
    from integrity.rules.references import References

_NOTHING_EARLIER = "SELECT NULL::text AS old, NULL::text AS new, '' AS by, 0 AS integrity_run WHERE false"


class Relink(Repair):
    """``Relink(by=[Mapping(...), Shift(...), Named(...), Owned(...)])`` on one References rule or on several.

    Which row an id meant is decided once in a run, for all rules that share this object and from the evidence of all
    their rows: what dangles at one id meant one row. Each step narrows what the others leave. Exactly one row must be
    left, and several ids must not lead to one; everything else is left and reported with its candidates: contradicted,
    ambiguous, no candidate, or reused, where the id is that of another row now.

    by: the steps; their order says whose word a relinked row is counted under. margin: how many times as many witnesses
    must speak for a row as against it, wherever the witnesses of one step disagree. merge: several ids may have become
    one row.
    """

    verb = "point the reference at the row that it meant"
    follows_reference = True

    def __init__(self, *, by: Sequence[Step], margin: int = 3, merge: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.by, self.margin, self.merge = tuple(by), margin, merge
        self._run: Run | None = None

    def writes(self, rule: Rule) -> list[type[Model]]:
        return [rule.model]

    def columns(self, rule: Rule) -> tuple[str, ...]:
        return (column_of(rule.model, cast("References", rule).columns[0]),)

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind != "references":
            yield WrongDeclaration(
                "is Relink, which only a References rule has references for", "Choose another repair."
            )
            return
        references = cast("References", rule)
        if references.to is None or len(references.columns) != 1:
            yield WrongDeclaration(
                "is Relink, which looks for the id of one model in one column",
                "Declare a References rule for that column, with to=Model.",
            )
            return
        if not self.by or self.margin < 1:
            yield WrongDeclaration(
                f"is Relink with {len(self.by)} steps and the margin {self.margin}",
                "Give by=[step, ...] and a margin of 1 or more.",
            )
        labels = [step.label for step in self.by]
        for label in {label for label in labels if labels.count(label) > 1}:
            yield WrongDeclaration(f"has two steps named {label!r}", "Name them: label=...")
        for other in self.sharing(references):
            if (other.to, other.on) != (references.to, references.on):
                yield WrongDeclaration(
                    f"is shared with {other.label}, which refers to other rows", "Give each a Relink of its own."
                )
        for step in self.by:
            yield from step.problems(references)

    def sharing(self, rule: References) -> list[References]:
        """The rules whose ids are decided together, in the order of their names."""
        known = {
            other.label: other for other in registry if any(self._is_in(steps) for steps in other.repairs.values())
        }
        found = cast("dict[str, References]", known | {rule.label: rule})
        return [found[label] for label in sorted(found)]

    def _is_in(self, steps: Iterable[Repair]) -> bool:
        return any(isinstance(step, Relink) and step.by is self.by for step in steps)

    # In a run

    def prepared(self, rule: Rule, run: Run) -> Self:
        from integrity.repairing import decisions  # its models cannot be imported before the apps are loaded

        references = cast("References", rule)
        pool = self.sharing(references)[0].label
        if not decisions.made(run, pool):
            verdicts = self.verdicts(references, run.database, decisions.earlier(references, run))
            decisions.store(run, pool, references, verdicts)
        prepared = copy(self)
        prepared._run = run
        return prepared

    def verdicts(self, rule: References, using: str, earlier: Statement | None = None) -> list[Verdict]:
        """What became of each dangling id of the rules that share this object, as things are now.

        To be called in a transaction; it makes temporary tables and writes nothing else.
        """
        search = Search(self.sharing(rule), using)
        known = Earlier(earlier or Statement(_NOTHING_EARLIER))
        found = Collection(search, known, self.by, margin=self.margin, merge=self.merge).verdicts()
        search.drop()
        return found

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        references = cast("References", rule)
        (column,) = self.columns(rule)
        connection = connections[using]
        assert references.to is not None
        ids = Statement(id_type(target_field(references.to, references.on[0]), connection))
        keys = [
            compose(
                "d.{key} AS {owner}, d.{key} AS {row}",
                key=name(f"key__{key.name}"),
                owner=name(f"owner__{key.name}"),
                row=name(f"row__{key.column}"),
            )
            for key in columns_of(rule.model)
        ]
        # The target is asked for again: a row that has gone since, or that disagrees with this row, is none.
        statement = compose(
            "SELECT 'update'::text AS op, {keys}, d.{actual} AS {old}, v.new::{ids}::{type} AS {new},"
            " {relinked}::text || ' by ' || v.by AS outcome, v.why AS evidence__why"
            " FROM ({violations}) AS d JOIN ({decided}) AS v ON v.old = d.{actual}::text"
            " JOIN ({targets}) AS t ON t.target = v.new::{ids} AND {agrees}",
            keys=joined(", ", keys),
            actual=name(f"actual__{references.columns[0]}"),
            old=name(f"old__{column}"),
            new=name(f"new__{column}"),
            ids=ids,
            type=Statement(_type_of(references, column, connection)),
            relinked=value(RELINKED),
            violations=rule.violations(scope, using),
            decided=self._decided(references, using),
            targets=_targets(references, ids, using),
            agrees=joined(
                " AND ",
                [
                    Statement("true"),
                    *(
                        compose("t.{there} = d.{here}", there=name(f"agreeing_{i}"), here=name(f"actual__{here}"))
                        for i, here in enumerate(references.agreeing)
                    ),
                ],
            ),
        )
        return [Write(rule.model, statement, sets=(column,), guards=(column,), locked=True, outcome=BY_ROW)]

    def _decided(self, rule: References, using: str) -> Statement:
        """A SELECT of ``old``, ``new``, ``by`` and ``why`` of what is to be relinked, in the run or as things are."""
        if self._run is not None:
            from integrity.repairing import decisions

            return decisions.relinked(self._run, self.sharing(rule)[0].label)
        found = [verdict for verdict in self.verdicts(rule, using) if verdict.outcome == RELINKED]
        columns_: list[Part] = [
            value([str(verdict.old) for verdict in found]),
            value([str(verdict.new) for verdict in found]),
            value([verdict.by for verdict in found]),
            value([verdict.why for verdict in found]),
        ]
        return compose(
            "SELECT * FROM unnest({columns}) AS v (old, new, by, why)",
            columns=joined(", ", (compose("{c}::text[]", c=column) for column in columns_)),
        )

    def left(self, rule: Rule, scope: Scope, using: str, limit: int) -> tuple[dict[str, int], list[Undecided]]:
        if self._run is None:
            return {}, []
        from integrity.repairing import decisions

        references = cast("References", rule)
        return decisions.left(self._run, self.sharing(references)[0].label, references, scope, limit)


def _type_of(rule: References, column: str, connection: Any) -> str:
    return next(c.type for c in columns(rule.model._meta.db_table, connection) if c.name == column)


def _targets(rule: References, ids: Statement, using: str) -> Statement:
    assert rule.to is not None
    own = {f"agreeing_{i}": F(column) for i, column in enumerate(rule.agreeing.values())}
    rows = rule.to._base_manager.using(using).values(integrity_id=F(rule.on[0]), **own)
    return compose(
        "SELECT r.*, r.integrity_id::{ids} AS target FROM ({rows}) AS r", ids=ids, rows=from_queryset(rows, using)
    )
