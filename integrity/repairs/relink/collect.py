"""Asking every step about every dangling id, with a number of statements that depends on the steps alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from integrity.repairs.relink.known import Agreeing, Earlier
from integrity.repairs.relink.step import Search, Step
from integrity.repairs.relink.verdict import RELINKED, Ballot, Verdict, Voice, decide, settled
from integrity.statement import Part, Statement, as_statement, compose, fetch, joined, name, run, value

_CHUNK = 2_000


class Collection:
    """The ballots of all steps in one temporary table, decided id by id."""

    def __init__(self, search: Search, earlier: Earlier, steps: Sequence[Step], *, margin: int, merge: bool) -> None:
        self.search, self.earlier, self.margin, self.merge = search, earlier, margin, merge
        self.steps: tuple[Step, ...] = (*steps, earlier, Agreeing())
        self.voices = [Voice(step.label, int(step.alone)) for step in self.steps]

    def verdicts(self) -> list[Verdict]:
        """One for each id, in their order."""
        for step in self.steps:
            step.prepare(self.search)
        self._table = self.search.temporary(
            "SELECT 0 AS step, old, 0::bigint AS witnesses, ARRAY[old] AS candidates, ARRAY[old] AS preferred,"
            " ARRAY[''] AS groups, false AS open, '' AS says, false AS asked FROM {ids} AS i LIMIT 0",
            ids=self.search.ids,
        )
        self._add(step for step in enumerate(self.steps) if not step[1].last)
        self._ask_open(self.search.ids)
        if any(step.last for step in self.steps):
            self._prove(self._decided(brief=True))
            self._add(step for step in enumerate(self.steps) if step[1].last)
            self._ask_open(self._newly_listed())
        taken: dict[Any, set[Any]] = {}
        for row in fetch(self.search.connection, self.earlier.taken()):
            taken.setdefault(row["new"], set()).add(row["old"])
        return settled(list(self._decided()), taken=taken, merge=self.merge)

    # Filling the table

    def _add(self, steps: Iterator[tuple[int, Step]]) -> None:
        for number, step in steps:
            self._insert(number, step.ballots(self.search), step.extra, asked=False)

    def _newly_listed(self) -> Statement:
        """A relation ``(old)`` of the ids for which there are candidates that were not asked about."""
        return self.search.temporary(
            "SELECT DISTINCT b.old FROM {table} AS b CROSS JOIN unnest(b.candidates) AS c (candidate)"
            " LEFT JOIN {pairs} AS p ON p.old = b.old AND p.candidate = c.candidate"
            " WHERE NOT b.asked AND p.old IS NULL",
            table=self._table,
            pairs=self.search.pairs,
        )

    def _ask_open(self, ids: Statement) -> None:
        """What was too much to list, about the candidates of some ids that are listed by now."""
        connection = self.search.connection
        among = compose("(SELECT i.old FROM {ids} AS i)", ids=ids)
        run(connection, compose("DELETE FROM {table} WHERE asked AND old IN {among}", table=self._table, among=among))
        self.search.pairs = self.search.temporary(
            "SELECT DISTINCT b.old, c.candidate FROM {table} AS b, unnest(b.candidates) AS c (candidate)"
            " WHERE b.old IN {among}",
            table=self._table,
            among=among,
        )
        for number, step in enumerate(self.steps):
            statement = step.open_ballots(self.search)
            if statement is not None:
                self._insert(number, statement, {*step.extra, "open"}, asked=True, ids=ids)

    def _insert(self, step: int, ballots: Statement, extra: Any, *, asked: bool, ids: Statement | None = None) -> None:
        parts: dict[str, Part] = {
            "preferred": compose("'{{}}'::{type}[]", type=self.search.type),
            "groups": Statement("'{}'::text[]"),
            "open": Statement("false"),
        }
        parts |= {column: as_statement(name("b", column)) for column in extra}
        run(
            self.search.connection,
            compose(
                "INSERT INTO {table} SELECT {step}, b.old, b.witnesses, b.candidates, {preferred}, {groups}, {open},"
                " b.says, {asked} FROM ({ballots}) AS b WHERE b.old IN (SELECT old FROM {ids} AS i)",
                table=self._table,
                step=value(step),
                asked=value(asked),
                ballots=ballots,
                ids=ids or self.search.ids,
                **parts,
            ),
        )

    def _prove(self, verdicts: Iterator[Verdict]) -> None:
        """What is known by now, for the steps that build on it."""
        found = [v for v in settled(list(verdicts), merge=self.merge) if v.outcome == RELINKED]
        parts = [
            compose(
                "SELECT * FROM unnest({old}::{type}[], {new}::{type}[], {sure}::boolean[]) AS v (old, new, sure)",
                old=value([verdict.old for verdict in found]),
                new=value([verdict.new for verdict in found]),
                sure=value([len(verdict.candidates[0].backed) > 1 for verdict in found]),
                type=self.search.type,
            ),
            *(
                compose("SELECT p.old, p.new, true FROM ({proof}) AS p", proof=proof)
                for step in self.steps
                if (proof := step.proves(self.search)) is not None
            ),
        ]
        self.search.proven = self.search.temporary(
            "SELECT p.old, p.new, bool_or(p.sure) AS sure FROM ({parts}) AS p GROUP BY p.old, p.new",
            parts=joined(" UNION ALL ", parts),
        )

    # Reading it

    def _decided(self, *, brief: bool = False) -> Iterator[Verdict]:
        for (old, rows, reused), lines in groupby(self._lines(), key=itemgetter(0, 1, 2)):
            ballots = [
                Ballot(step, witnesses, tuple(candidates), tuple(preferred), tuple(groups), open_, says)
                for *_, step, witnesses, candidates, preferred, groups, open_, says in lines
                if step is not None
            ]
            yield decide(old, ballots, self.voices, margin=self.margin, reused=reused, rows=rows, brief=brief)

    def _lines(self) -> Iterator[tuple[Any, ...]]:
        """Every id with each ballot about it, id by id; not all of them are in memory at once."""
        statement = compose(
            "SELECT i.old, i.rows, i.reused, b.step, b.witnesses, b.candidates, b.preferred, b.groups, b.open, b.says"
            " FROM {ids} AS i LEFT JOIN {table} AS b USING (old) ORDER BY i.old",
            ids=self.search.ids,
            table=self._table,
        )
        with self.search.connection.chunked_cursor() as cursor:
            cursor.execute(statement.text, statement.params)
            while rows := cursor.fetchmany(_CHUNK):
                yield from rows
