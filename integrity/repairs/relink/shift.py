"""Shift: every id has moved by the same number, as others whose new id is known prove."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from integrity.exceptions import WrongDeclaration
from integrity.repairs.relink.step import Search, Step, count_in_words, is_integer, target_field
from integrity.statement import Statement, compose, value

if TYPE_CHECKING:
    from integrity.rules.references import References


class Shift(Step):
    """``Shift(at_least=5)``: an import that gave new ids in the old order moved them all by one constant.

    Proof are ids whose new one the other steps know, of those looked for and, from a Mapping, of all. One shift must
    explain them, ``at_least`` others than the id in question must show it, and the id must lie between them, or at most
    ``reach`` beyond: only between known ones nothing can have been put in or left out. An id that moved otherwise
    disproves it; one that only a single step says so of, and that no other id moved with, must be outweighed by
    ``at_least`` more. Where there is no row at the shifted id, the one meant is there no more.
    """

    last = True

    def __init__(self, *, at_least: int = 5, reach: int = 0, **options: Any) -> None:
        super().__init__(**options)
        self.at_least, self.reach = at_least, reach

    def problems(self, rule: References) -> Iterable[WrongDeclaration]:
        assert rule.to is not None
        if not is_integer(target_field(rule.to, rule.on[0])):
            yield WrongDeclaration(
                f"has the step {self.label!r}, and the ids of {rule.to._meta.label} are not whole numbers",
                "Leave the step out.",
            )
        if self.at_least < 2 or self.reach < 0:
            yield WrongDeclaration(
                f"has the step {self.label!r} with at_least={self.at_least} and reach={self.reach}",
                "One pair shows a difference, not a shift: at_least=2 or more, reach=0 or more.",
            )

    def ballots(self, search: Search) -> Statement:
        """Without a proof, what there is of one stands as a remark with the ids that it would have explained."""
        return compose(
            "WITH proof AS (SELECT new::numeric - old AS shift, count(*) AS pairs, bool_or(sure) AS sure,"
            " min(old) AS low, max(old) AS high FROM {proven} AS p GROUP BY 1),"
            " best AS (SELECT shift, pairs, low, high FROM proof ORDER BY pairs DESC, shift LIMIT 1),"
            # One id that moved alone and that one step alone knows is the likelier error.
            " other AS (SELECT p.*, p.pairs = 1 AND NOT p.sure AS stray FROM proof AS p, best AS b"
            " WHERE p.shift <> b.shift),"
            " total AS (SELECT b.*, (SELECT count(*) FROM other WHERE stray) AS strays,"
            " (SELECT coalesce(sum(pairs), 0) FROM other WHERE NOT stray) AS against,"
            " (SELECT sum(pairs) FROM proof) AS known FROM best AS b),"
            " own AS (SELECT p.old, o.stray, o.pairs = 1 AND NOT o.stray AS against, o.shift IS NULL AS fits"
            " FROM {proven} AS p LEFT JOIN other AS o ON o.shift = p.new::numeric - p.old),"
            " shifted AS (SELECT i.old, b.*, b.pairs - count(*) FILTER (WHERE o.fits) AS others,"
            " b.against - count(*) FILTER (WHERE o.against) AS contrary,"
            " b.strays - count(*) FILTER (WHERE o.stray) AS astray,"
            " CASE WHEN abs(i.old::numeric + b.shift) < 9e18 THEN (i.old + b.shift)::bigint END AS target,"
            " i.old > b.low::numeric - {reach} AND i.old < b.high::numeric + {reach} AS inside"
            " FROM {ids} AS i CROSS JOIN total AS b LEFT JOIN own AS o ON o.old = i.old"
            " GROUP BY i.old, b.shift, b.pairs, b.low, b.high, b.strays, b.against, b.known),"
            " judged AS (SELECT s.*, s.contrary = 0 AND s.others >= {least} * (1 + s.astray) AND s.inside AS holds,"
            " t.target AS there, CASE WHEN s.shift > 0 THEN '+' ELSE '' END || s.shift AS moved"
            " FROM shifted AS s LEFT JOIN ({targets}) AS t ON t.target = s.target)"
            " SELECT old, holds::int::bigint AS witnesses,"
            " CASE WHEN holds AND there IS NOT NULL THEN ARRAY[there] ELSE '{{}}' END AS candidates,"
            " CASE WHEN holds THEN 'id shift ' || moved || ' proven by ' || {others}"
            " || CASE WHEN there IS NULL THEN ', and ' || target || ' is not there' ELSE '' END"
            " WHEN contrary + astray > 0 THEN 'no one shift: ' || moved || ' fits ' || pairs || ' of ' || known"
            " || ' known ids'"
            " WHEN NOT inside THEN moved || ' is not proven beyond ' || low || ' to ' || high"
            " ELSE moved || ' is shown by ' || {others} || {wanted} END AS says"
            " FROM judged WHERE holds OR there IS NOT NULL AND pairs > 1",
            proven=search.proven,
            ids=search.ids,
            targets=search.targets(),
            reach=value(self.reach),
            least=value(self.at_least),
            others=count_in_words(Statement("others"), "other", "others"),
            wanted=value(f" and needs {self.at_least}"),
        )
