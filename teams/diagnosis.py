"""What points at teams that are gone: how much, which team was meant by what evidence, and whom it concerns.

Looking writes nothing to any table that it looks at; the run and its findings are recorded as those of every analysis.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Count

from integrity import References, Relink
from integrity.engine import analyze
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repairs.relink.verdict import Verdict
from integrity.reports import Report
from integrity.statuses import CLEAN, VIOLATED
from teams.models import Team, TeamMembership
from teams.pointing import POINTERS, Pointer

RELINK = "relink"


@dataclass(frozen=True)
class Counted:
    """Of one column: rows, numbers that lead nowhere, rows without one that should have it, suspects."""

    table: str
    column: str
    rows: int
    dangling: int
    unresolved: int
    suspects: int


@dataclass(frozen=True)
class Suspect:
    """A row whose number leads to a team that is hardly meant."""

    table: str
    column: str
    id: int
    team_id: int
    team: str
    why: str


@dataclass(frozen=True)
class Number:
    """A number that leads nowhere: what a relink would do with it, and the teams that it may have meant.

    teams: name by number, of `new` and of all candidates.
    """

    verdict: Verdict
    teams: dict[int, str]


@dataclass(frozen=True)
class Person:
    """A user whom it concerns: rows that they wrote, and rows that they should see and do not."""

    username: str
    wrote: int
    misses: int


@dataclass
class Diagnosis:
    """The answer; `people` are the most concerned first."""

    report: Report
    tables: list[Counted] = field(default_factory=list)
    numbers: list[Number] = field(default_factory=list)
    suspects: list[Suspect] = field(default_factory=list)
    people: list[Person] = field(default_factory=list)

    @property
    def status(self) -> str:
        """What is wrong or suspect is no clean bill, though suspects break no rule."""
        found = any(counted.unresolved or counted.suspects for counted in self.tables)
        return VIOLATED if self.report.status == CLEAN and found else self.report.status


def diagnose_orphans(*, limit: int = 20, observer: Observer | None = None) -> Diagnosis:
    """Look at every column that points at a team. limit: suspects of each column that are listed."""
    rules = [registry.get(pointer.rule) for pointer in POINTERS]
    diagnosis = Diagnosis(analyze(rules, sample=limit, observer=observer))
    # What the search for teams puts into temporary tables goes with it.
    with transaction.atomic():
        diagnosis.tables = [_counted(pointer) for pointer in POINTERS]
        diagnosis.suspects = [suspect for pointer in POINTERS for suspect in _suspects(pointer, limit)]
        verdicts = _verdicts()
        diagnosis.numbers = _named(verdicts)
        diagnosis.people = _people(verdicts)
        transaction.set_rollback(True)
    return diagnosis


def _counted(pointer: Pointer) -> Counted:
    found = (pointer.rows, pointer.dangling(), pointer.without(), pointer.suspects())
    return Counted(pointer.table, pointer.column, *(rows.count() for rows in found))


def _suspects(pointer: Pointer, limit: int) -> Iterable[Suspect]:
    rows = pointer.suspects().order_by("pk").values_list("pk", pointer.column, "team_name", "why")[:limit]
    return (Suspect(pointer.table, pointer.column, *row) for row in rows)


def _verdicts() -> list[Verdict]:
    """What a relink would decide; all rules are decided together."""
    rule = cast("References", registry.get(POINTERS[0].rule))
    relink = cast("Relink", rule.repairs[RELINK][0])
    return relink.verdicts(rule, DEFAULT_DB_ALIAS)


def _named(verdicts: Sequence[Verdict]) -> list[Number]:
    ids = {candidate.id for verdict in verdicts for candidate in verdict.candidates}
    ids |= {verdict.new for verdict in verdicts if verdict.new is not None}
    names = {
        team.pk: f"{team.name}, {team.league.name}" for team in Team.objects.filter(pk__in=ids).select_related("league")
    }
    return [
        Number(verdict, {n: names[n] for n in [verdict.new, *(c.id for c in verdict.candidates)] if n in names})
        for verdict in verdicts
    ]


def _people(verdicts: Sequence[Verdict]) -> list[Person]:
    by_number: Counter[tuple[str, int]] = Counter()
    for pointer in POINTERS:
        if pointer.author:
            rows = pointer.dangling().values_list(f"{pointer.author}__username", pointer.column)
            by_number.update({(author, number): count for author, number, count in rows.annotate(Count("pk"))})
    wrote: Counter[str] = Counter()
    for (author, _), count in by_number.items():
        wrote[author] += count
    misses = _misses(verdicts, by_number)
    everybody = sorted(wrote.keys() | misses.keys(), key=lambda name: (-wrote[name], -misses[name], name))
    return [Person(name, wrote[name], misses[name]) for name in everybody]


def _misses(verdicts: Sequence[Verdict], by_number: Counter[tuple[str, int]]) -> Counter[str]:
    """Rows that members of the teams meant would see; what somebody wrote is seen by its author all the same."""
    meant = {verdict.new: verdict for verdict in verdicts if verdict.new is not None}
    misses: Counter[str] = Counter()
    for username, team in TeamMembership.objects.filter(team__in=meant).values_list("user__username", "team_id"):
        misses[username] += meant[team].rows - by_number[username, meant[team].old]
    return misses
