"""What is known without being declared: earlier repairs, and columns that must agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from integrity.repairs.relink.step import Search, Step, count_in_words
from integrity.statement import Statement, compose, joined, name, names, value

if TYPE_CHECKING:
    from integrity.rules.references import References


class Earlier(Step):
    """What earlier runs relinked and nobody has taken back: the rest of a question is not answered otherwise.

    earlier: a SELECT of ``old``, ``new``, ``by`` and ``integrity_run``.
    """

    def __init__(self, earlier: Statement) -> None:
        super().__init__()
        self.earlier = earlier

    def prepare(self, search: Search) -> None:
        self._known = search.temporary(
            "SELECT e.old::{type} AS old, e.new::{type} AS new, e.integrity_run AS run, e.by FROM ({earlier}) AS e",
            type=search.type,
            earlier=self.earlier,
        )

    def ballots(self, search: Search) -> Statement:
        return compose(
            "SELECT old, ARRAY[new] AS candidates, 1::bigint AS witnesses,"
            " 'relinked so by run ' || string_agg(run::text, ', ' ORDER BY run) AS says FROM {known} AS k"
            " GROUP BY old, new",
            known=self._known,
        )

    def proves(self, search: Search) -> Statement:
        # What a shift has told would prove the shift.
        return compose(
            "SELECT old, min(new) AS new FROM {known} AS k WHERE by NOT LIKE {shift} GROUP BY old"
            " HAVING count(DISTINCT new) = 1",
            known=self._known,
            shift=value("%shift%"),
        )

    def taken(self) -> Statement:
        """A SELECT of the rows that others lead to by now."""
        return compose("SELECT DISTINCT old, new FROM {known} AS k", known=self._known)


class Agreeing(Step):
    """The ``agreeing`` columns of the rules: the row meant has those of the rows that refer to it."""

    extra = ("open",)

    def __init__(self) -> None:
        super().__init__(alone=False)

    def ballots(self, search: Search) -> Statement:
        return compose(
            "SELECT NULL::{type} AS old, NULL::{type}[] AS candidates, 0::bigint AS witnesses, '' AS says,"
            " true AS open WHERE false",
            type=search.type,
        )

    def prepare(self, search: Search) -> None:
        self._held = {rule: self._held_by(search, rule) for rule in search.rules if rule.agreeing}

    def _held_by(self, search: Search, rule: References) -> Statement:
        own = {f"a{i}": column for i, column in enumerate(rule.agreeing)}
        return search.temporary(
            "SELECT row_number() OVER () AS number, w.old, {listed}, concat_ws(', ', {listed}) AS held,"
            " count(*) AS rows FROM ({witnesses}) AS w GROUP BY w.old, {listed}",
            listed=names(own, of="w"),
            witnesses=search.witnesses_of(rule, own),
        )

    def open_ballots(self, search: Search) -> Statement | None:
        parts = [self._of(search, rule, held) for rule, held in self._held.items()]
        return joined(" UNION ALL ", parts) if parts else None

    def _of(self, search: Search, rule: References, held: Statement) -> Statement:
        own = {f"a{i}": column for i, column in enumerate(rule.agreeing.values())}
        same = joined(" AND ", (compose("t.{c} = w.{c}", c=name(column)) for column in own))
        return compose(
            "SELECT w.old, coalesce(array_agg(t.target) FILTER (WHERE t.target IS NOT NULL), '{{}}') AS candidates,"
            " w.rows AS witnesses, {columns} || ' ' || w.held || ' of ' || {counted} AS says, true AS open"
            " FROM {held} AS w LEFT JOIN {pairs} AS p ON p.old = w.old"
            " LEFT JOIN ({targets}) AS t ON t.target = p.candidate AND {same}"
            " GROUP BY w.number, w.old, w.rows, w.held",
            columns=value(", ".join(rule.agreeing)),
            counted=count_in_words(Statement("w.rows"), "row", "rows"),
            held=held,
            pairs=search.pairs,
            targets=search.targets(**own),
            same=same,
        )
