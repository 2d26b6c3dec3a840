"""Named: a text of the referring row says the name of the row that it means, or of what that belongs to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import F

from integrity.exceptions import WrongDeclaration
from integrity.paths import resolve
from integrity.repairs.relink.step import Paths, Search, Step, count_in_words, one_row, problems_of
from integrity.repairs.relink.words import words
from integrity.statement import Statement, compose, from_queryset, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.references import References

MOST = 50
"""Candidates of one set of names that are listed; more of them only confirm or contradict what other steps say."""
MOST_TRIED = 500
"""Rows with the two rarest names of a set; where there are more, what the other names leave of them is not tried."""


class Named(Step):
    """``Named({Poll: "question", Message: "text"}, names=["series__name"], narrowed_by=["club__name"])``.

    text: the text column of the referring rows. names: paths of the row that is meant, each ending in a name that may
    stand for it. narrowed_by: further names, which tell between rows and never stand for one alone.

    A name is found on whole words, without case and accents, the longest first: "22" stands neither in "2022" nor in
    "22:00", and "Series 2" not where the text says "Series 2 B" and that is a name too. Every name that the related
    table knows counts, also one that no row has any more. Rows with all the names of a text are candidates; of two
    names of one path either may be meant. shortest: the least number of characters of a name that is looked for.
    """

    extra = ("open",)

    def __init__(
        self,
        text: Paths,
        *,
        names: Sequence[str],
        narrowed_by: Sequence[str] = (),
        shortest: int = 2,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.text, self.names, self.narrowed_by, self.shortest = text, tuple(names), tuple(narrowed_by), shortest

    def problems(self, rule: References) -> Iterable[WrongDeclaration]:
        assert rule.to is not None
        yield from problems_of(self, "text", self.text, rule)
        if not self.names:
            yield WrongDeclaration(f"has the step {self.label!r} without names", "Give names=[path, ...].")
        for path in (*self.names, *self.narrowed_by):
            yield from one_row(self, "name", rule.to, path)

    # What the step looks up

    def prepare(self, search: Search) -> None:
        known = self._known(search)
        self._names = search.temporary(
            "SELECT gram, words[1] AS first, cardinality(words) AS length, min(raw) AS raw,"
            " array_agg(DISTINCT path ORDER BY path) AS paths, bool_or(path < {telling}) AS telling"
            " FROM {known} AS k GROUP BY gram, words",
            telling=value(len(self.names)),
            known=known,
        )
        self._carriers = search.temporary(
            "SELECT DISTINCT k.gram, c.target FROM ({carried}) AS c JOIN {known} AS k USING (path, raw)",
            carried=self._carried(search),
            known=known,
        )
        self._texts = self._signatures(search)
        self._sets(search)

    def _known(self, search: Search) -> Statement:
        """Every name that the paths know, as written and in words."""
        parts = []
        for number, path in enumerate((*self.names, *self.narrowed_by)):
            end = resolve(search.target, path).field
            rows = end.model._base_manager.using(search.using).values(integrity_name=F(end.name))
            parts.append(
                compose(
                    "SELECT DISTINCT {number}::int AS path, r.integrity_name::text AS raw FROM ({rows}) AS r",
                    number=value(number),
                    rows=from_queryset(rows, search.using),
                )
            )
        return search.temporary(
            "SELECT path, raw, words, array_to_string(words, ' ') AS gram"
            " FROM (SELECT path, raw, {words} AS words FROM ({names}) AS n OFFSET 0) AS w"
            " WHERE cardinality(words) > 0 AND length(array_to_string(words, ' ')) >= {shortest}",
            words=words(Statement("raw")),
            names=joined(" UNION ALL ", parts),
            shortest=value(self.shortest),
        )

    def _carried(self, search: Search) -> Statement:
        """The names of every row that may be meant."""
        paths = {f"p{number}": path for number, path in enumerate((*self.names, *self.narrowed_by))}
        spread = joined(
            ", ",
            (
                compose("({number}::int, t.{column}::text)", number=value(i), column=name(column))
                for i, column in enumerate(paths)
            ),
        )
        return compose(
            "SELECT v.path, v.raw, t.target FROM ({targets}) AS t, LATERAL (VALUES {spread}) AS v (path, raw)",
            targets=search.targets(**paths),
            spread=spread,
        )

    def _signatures(self, search: Search) -> Statement:
        """What the texts of each id name: sets of names, with the number of rows that name just these."""
        # By itself, so that it is known how many there are: the planner expects next to no row to refer to nothing, and
        # would try each name on each text.
        texts = search.temporary(
            "SELECT old, {words} AS words FROM ({texts}) AS x WHERE text IS NOT NULL",
            words=words(Statement("text::text")),
            texts=search.witnesses({"text": self.text}),
        )
        # Joined by whole names alone: by their lengths too, each word would meet every name of that length.
        found = search.temporary(
            "SELECT g.row, g.old, g.at, g.length, g.gram FROM (SELECT t.row, t.old, w.at, s.length,"
            " array_to_string(t.words[w.at:w.at + s.length - 1], ' ') AS gram"
            " FROM (SELECT row_number() OVER () AS row, old, words FROM {texts} AS x) AS t"
            " CROSS JOIN unnest(t.words) WITH ORDINALITY AS w (word, at)"
            " JOIN (SELECT DISTINCT first, length FROM {names} AS n) AS s ON s.first = w.word OFFSET 0) AS g"
            " JOIN {names} AS n USING (gram)",
            texts=texts,
            names=self._names,
        )
        return search.temporary(
            "SELECT old, grams, count(*) AS rows FROM (SELECT f.row, f.old, array_agg(DISTINCT f.gram ORDER BY f.gram)"
            " AS grams FROM {found} AS f WHERE NOT EXISTS (SELECT FROM {found} AS l WHERE l.row = f.row"
            " AND l.length > f.length AND l.at <= f.at AND l.at + l.length >= f.at + f.length)"
            " GROUP BY f.row, f.old) AS t GROUP BY old, grams",
            found=found,
        )

    def _sets(self, search: Search) -> None:
        """The rows that have all the names of a set: a name of each kind that the set has names of."""
        self._numbered = search.temporary(
            "SELECT row_number() OVER () AS number, grams FROM (SELECT DISTINCT grams FROM {texts} AS t) AS g",
            texts=self._texts,
        )
        self._parts = search.temporary(
            "SELECT s.number, n.paths AS kind, n.gram, n.raw, n.telling"
            " FROM {numbered} AS s CROSS JOIN unnest(s.grams) AS g (gram) JOIN {names} AS n USING (gram)",
            numbered=self._numbered,
            names=self._names,
        )
        self._kinds = search.temporary(
            "SELECT k.*, row_number() OVER (PARTITION BY number ORDER BY rows, kind) AS place,"
            " count(*) OVER (PARTITION BY number) AS kinds, bool_or(named) OVER (PARTITION BY number) AS telling"
            " FROM (SELECT p.number, p.kind, coalesce(sum(c.rows), 0) AS rows, bool_or(p.telling) AS named"
            " FROM {parts} AS p LEFT JOIN (SELECT gram, count(*) AS rows FROM {carriers} AS c GROUP BY gram) AS c"
            " USING (gram) GROUP BY p.number, p.kind) AS k",
            parts=self._parts,
            carriers=self._carriers,
        )
        self._listed = search.temporary(
            "SELECT s.number, s.grams, n.says, coalesce(m.candidates, '{{}}') AS candidates,"
            " NOT k.telling OR k.rows > {one} AND k.kinds = 1 OR coalesce(w.rows, 0) > {two}"
            " OR coalesce(m.found, 0) > {one} AS open"
            " FROM {numbered} AS s JOIN {kinds} AS k ON k.number = s.number AND k.place = 1"
            " JOIN (SELECT number, string_agg({quoted}, ' and ' ORDER BY telling DESC, raw) AS says"
            " FROM {parts} AS p GROUP BY number) AS n ON n.number = s.number"
            " LEFT JOIN ({wide}) AS w ON w.number = s.number"
            " LEFT JOIN (SELECT number, count(*) AS found, array_agg(target ORDER BY target) AS candidates"
            " FROM ({all}) AS a GROUP BY number) AS m ON m.number = s.number",
            one=value(MOST),
            two=value(MOST_TRIED),
            quoted=Statement("'''' || raw || ''''"),
            parts=self._parts,
            numbered=self._numbered,
            kinds=self._kinds,
            **self._tried(search),
        )

    def _tried(self, search: Search) -> dict[str, Statement]:
        """Rows that have a name of the rarest kind of a set, or of its two rarest, and all others too.

        Two names together are looked up like one: each of a series and a club has many teams, both together few.
        """
        together = search.temporary(
            "SELECT a.gram AS one, b.gram AS other, a.target FROM {carriers} AS a JOIN {carriers} AS b"
            " ON b.target = a.target AND b.gram > a.gram",
            carriers=self._carriers,
        )
        chosen = search.temporary(
            "SELECT k.number, k.kinds, least(p.gram, q.gram) AS one, greatest(p.gram, q.gram) AS other"
            " FROM {kinds} AS k JOIN {kinds} AS l ON l.number = k.number AND l.place = 2"
            " JOIN {parts} AS p ON p.number = k.number AND p.kind = k.kind"
            " JOIN {parts} AS q ON q.number = k.number AND q.kind = l.kind WHERE k.place = 1 AND k.telling",
            kinds=self._kinds,
            parts=self._parts,
        )
        wide = search.temporary(
            "SELECT c.number, sum(t.rows) AS rows FROM {chosen} AS c"
            " JOIN (SELECT one, other, count(*) AS rows FROM {together} AS t GROUP BY one, other) AS t"
            " USING (one, other) GROUP BY c.number",
            chosen=chosen,
            together=together,
        )
        one_kind = compose(
            "SELECT k.number, c.target FROM {kinds} AS k JOIN {parts} AS p USING (number, kind)"
            " JOIN {carriers} AS c USING (gram) WHERE k.kinds = 1 AND k.telling AND k.rows <= {most}",
            kinds=self._kinds,
            parts=self._parts,
            carriers=self._carriers,
            most=value(MOST),
        )
        several = compose(
            "SELECT DISTINCT c.number, c.kinds, t.target FROM {chosen} AS c JOIN {wide} AS w USING (number)"
            " JOIN {together} AS t USING (one, other) WHERE w.rows <= {most}",
            chosen=chosen,
            wide=wide,
            together=together,
            most=value(MOST_TRIED),
        )
        two_kinds = compose("SELECT s.number, s.target FROM ({several}) AS s WHERE s.kinds = 2", several=several)
        more = compose("SELECT s.* FROM ({several}) AS s WHERE s.kinds > 2", several=several)
        listed = compose(
            "SELECT DISTINCT number, target FROM ({one}) AS o UNION ALL {two} UNION ALL {more}",
            one=one_kind,
            two=two_kinds,
            more=self._with_all(more),
        )
        return {"wide": compose("SELECT * FROM {wide} AS w", wide=wide), "all": listed}

    def _with_all(self, pairs: Statement) -> Statement:
        """Those of ``(number, kinds, target)`` that carry a name of every kind of their set."""
        return compose(
            "SELECT l.number, l.target FROM ({pairs}) AS l JOIN {parts} AS p USING (number)"
            " JOIN {carriers} AS c ON c.gram = p.gram AND c.target = l.target"
            " GROUP BY l.number, l.target, l.kinds HAVING count(DISTINCT p.kind) = l.kinds",
            pairs=pairs,
            parts=self._parts,
            carriers=self._carriers,
        )

    # What it says

    def ballots(self, search: Search) -> Statement:
        return compose(
            "SELECT t.old, l.candidates, t.rows AS witnesses, l.open, {says} AS says"
            " FROM {texts} AS t JOIN {listed} AS l USING (grams) WHERE NOT l.open",
            says=self._says(),
            texts=self._texts,
            listed=self._listed,
        )

    def open_ballots(self, search: Search) -> Statement | None:
        asked = compose(
            "SELECT DISTINCT l.number, k.kinds, p.candidate AS target FROM {texts} AS t"
            " JOIN {listed} AS l USING (grams) JOIN {pairs} AS p ON p.old = t.old"
            " JOIN {kinds} AS k ON k.number = l.number AND k.place = 1 WHERE l.open",
            texts=self._texts,
            listed=self._listed,
            pairs=search.pairs,
            kinds=self._kinds,
        )
        return compose(
            "WITH allowed AS MATERIALIZED ({all}) SELECT t.old,"
            " array_remove(array_agg(p.candidate ORDER BY p.candidate), NULL) AS candidates,"
            " t.rows AS witnesses, true AS open, {says} AS says"
            " FROM {texts} AS t JOIN {listed} AS l USING (grams)"
            " LEFT JOIN ({pairs} AS p JOIN allowed AS a ON a.target = p.candidate)"
            " ON p.old = t.old AND a.number = l.number WHERE l.open GROUP BY t.old, t.rows, l.number, l.says",
            all=self._with_all(asked),
            says=self._says(),
            texts=self._texts,
            listed=self._listed,
            pairs=search.pairs,
        )

    def _says(self) -> Statement:
        return compose("l.says || ' named in ' || {rows}", rows=count_in_words(Statement("t.rows"), "row", "rows"))
