"""Which row a dangling id meant, decided from the ballots of all steps. Pure: no database, no order, no chance."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from heapq import nsmallest
from typing import Any

Id = Any

RELINKED, CONTRADICTED, AMBIGUOUS = "relinked", "contradicted", "ambiguous"
NO_CANDIDATE, REUSED = "no candidate", "reused"
OUTCOMES = (RELINKED, CONTRADICTED, AMBIGUOUS, NO_CANDIDATE, REUSED)

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Ballot:
    """What some witnesses of one step say alike of one dangling id: that it meant one of the candidates.

    Without candidates it says that the row meant is there no more. open: rows that are not listed may be meant as well.
    preferred: candidates that come first when all that are left share one of ``groups``, which go with ``candidates``.
    Without witnesses it is a remark, shown and not counted.
    """

    step: int
    witnesses: int
    candidates: tuple[Id, ...] = ()
    preferred: tuple[Id, ...] = ()
    groups: tuple[str | None, ...] = ()
    open: bool = False
    says: str = ""


@dataclass(frozen=True, slots=True)
class Voice:
    """A step as the decision knows it. alone: how many of its witnesses decide without another step; 0 for none."""

    label: str
    alone: int = 1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A row that may be meant, with how many witnesses of each step speak for it and against it."""

    id: Id
    backed: Mapping[str, int]
    opposed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one dangling id; ``new`` is the row that it is to lead to, of a relinked one alone."""

    old: Id
    outcome: str
    new: Id = None
    by: str = ""
    """The step that told which, or several that told it together."""
    why: str = ""
    candidates: tuple[Candidate, ...] = ()
    rows: int = 0


@dataclass
class _Said:
    """All that one step says of one id."""

    ballots: list[Ballot] = field(default_factory=list)

    @cached_property
    def spoke(self) -> int:
        return sum(ballot.witnesses for ballot in self.ballots)

    @cached_property
    def unlisted(self) -> int:
        """The most witnesses that a row which nobody lists can have."""
        return sum(ballot.witnesses for ballot in self.ballots if ballot.open)

    @cached_property
    def backed(self) -> Counter[Id]:
        found: Counter[Id] = Counter()
        for ballot in self.ballots:
            if ballot.witnesses:
                for candidate in set(ballot.candidates):
                    found[candidate] += ballot.witnesses
        return found

    def possible(self, margin: int) -> tuple[set[Id], bool]:
        """The candidates that this step leaves possible, and whether these are all of them.

        Those that ``margin`` times as many witnesses speak for as against; where the witnesses are too divided for
        that, all that come near the best.
        """

        def carries(witnesses: int) -> bool:
            return witnesses > 0 and witnesses >= margin * (self.spoke - witnesses)

        accepted = {candidate for candidate, witnesses in self.backed.items() if carries(witnesses)}
        if accepted or carries(self.unlisted):
            return accepted, not carries(self.unlisted)
        best = max((*self.backed.values(), self.unlisted), default=0)
        near = {candidate for candidate, witnesses in self.backed.items() if 0 < best <= margin * witnesses}
        return near, not 0 < best <= margin * self.unlisted

    def preferring(self, among: set[Id], margin: int) -> set[Id]:
        """Those of several that it puts first; none where they are of more than one group."""
        counted = [ballot for ballot in self.ballots if ballot.witnesses]
        groups = {group for b in counted for c, group in zip(b.candidates, b.groups, strict=False) if c in among}
        if len(groups) > 1:
            return set()
        voting = [ballot for ballot in counted if set(ballot.preferred) & among]
        total = sum(ballot.witnesses for ballot in voting)
        first: Counter[Id] = Counter()
        for ballot in voting:
            first.update(dict.fromkeys(set(ballot.preferred) & among, ballot.witnesses))
        return {c for c, witnesses in first.items() if witnesses >= margin * (total - witnesses)}

    def words(self, candidate: Id | None = None) -> str:
        """Its evidence, for one candidate or in all; the most witnesses first."""
        told = [b for b in self.ballots if candidate is None or candidate in b.candidates]
        told.sort(key=lambda ballot: (-ballot.witnesses, ballot.says))
        shown = list(dict.fromkeys(ballot.says for ballot in told if ballot.says))
        more = [f"and {len(shown) - _SHOWN} more"] if len(shown) > _SHOWN else []
        return ", ".join([*shown[:_SHOWN], *more])


def decide(
    old: Id,
    ballots: Iterable[Ballot],
    voices: Sequence[Voice],
    *,
    margin: int,
    reused: bool = False,
    rows: int = 0,
    brief: bool = False,
) -> Verdict:
    """The verdict on one id. Each step narrows what the others leave; one row must be left, or nothing is written.

    voices: the steps in the order of their declaration. reused: the id exists again, as another row. brief: nobody will
    read why; words and the candidates that were not taken are left out, which are most of the work.
    """
    steps = _by_step(ballots)
    speaking = {step: told for step, told in steps.items() if told.spoke}
    listed = {candidate for told in speaking.values() for candidate in told.backed}

    def verdict(outcome: str, why: str = "{}", silence: str = "") -> Verdict:
        if brief:
            return Verdict(old, outcome, rows=rows)
        told = why.format(_words(steps, voices) or silence)
        return Verdict(old, outcome, why=told, candidates=_candidates(listed, speaking, voices), rows=rows)

    if reused:
        return verdict(REUSED, "the id is that of another row now; {}", "no step says which was meant")
    if not speaking:
        return verdict(NO_CANDIDATE, silence="no step says anything")
    possible = {step: told.possible(margin) for step, told in speaking.items()}
    left = listed.intersection(*(accepted for accepted, _ in possible.values()))
    # Steps that name more rows than can be listed have not been compared with each other.
    if not any(closed for _, closed in possible.values()):
        return verdict(AMBIGUOUS)
    if not left:
        return verdict(CONTRADICTED if listed else NO_CANDIDATE)
    by = ""
    if len(left) > 1:
        left, by = _preferred(left, speaking, voices, margin)
    if len(left) != 1:
        return verdict(AMBIGUOUS)
    (new,) = left
    backing = {step: told for step, told in speaking.items() if told.backed[new]}
    if len(backing) < 2 and not any(0 < voices[step].alone <= told.backed[new] for step, told in backing.items()):
        return verdict(AMBIGUOUS, "{}; no other step says the same")
    return Verdict(
        old,
        RELINKED,
        new=new,
        by=by or _decisive(new, possible, list(backing), voices),
        why="" if brief else _words(backing, voices, new),
        candidates=_candidates(left, speaking, voices),
        rows=rows,
    )


def _by_step(ballots: Iterable[Ballot]) -> dict[int, _Said]:
    said: dict[int, _Said] = {}
    for ballot in ballots:
        said.setdefault(ballot.step, _Said()).ballots.append(ballot)
    return {step: said[step] for step in sorted(said)}


def settled(
    verdicts: Sequence[Verdict], *, taken: Mapping[Id, Collection[Id]] | None = None, merge: bool = False
) -> list[Verdict]:
    """The verdicts without those that cannot all be true: several ids that would lead to one row, or exchanged ids.

    taken: row -> ids that were relinked to it before. merge: several ids may have become one row.
    """
    claims: dict[Id, set[Id]] = {new: set(olds) for new, olds in (taken or {}).items()}
    reused = {verdict.old for verdict in verdicts if verdict.outcome == REUSED}
    for verdict in verdicts:
        if verdict.outcome == RELINKED:
            claims.setdefault(verdict.new, set()).add(verdict.old)
    done = []
    for verdict in verdicts:
        why = ""
        if verdict.outcome == RELINKED and verdict.new in reused:
            why = f"{verdict.new} is itself referred to by rows that meant another one: ids were exchanged"
        elif verdict.outcome == RELINKED and not merge and len(claims[verdict.new]) > 1:
            others = sorted((old for old in claims[verdict.new] if old != verdict.old), key=str)
            why = f"{', '.join(map(str, others[:_SHOWN]))} would lead to {verdict.new} too"
        done.append(_refused(verdict, why) if why else verdict)
    return done


def _refused(verdict: Verdict, why: str) -> Verdict:
    return replace(verdict, outcome=CONTRADICTED, new=None, by="", why=f"{why}; {verdict.why}")


def _preferred(
    left: set[Id], speaking: Mapping[int, _Said], voices: Sequence[Voice], margin: int
) -> tuple[set[Id], str]:
    """The one that a step puts first; steps that put different ones first put none."""
    firsts = {step: told.preferring(left, margin) for step, told in speaking.items()}
    named = {frozenset(first): step for step, first in reversed(firsts.items()) if first}
    if len(named) != 1:
        return left, ""
    ((first, step),) = named.items()
    return set(first), voices[step].label


def _decisive(
    new: Id, possible: Mapping[int, tuple[set[Id], bool]], backing: Sequence[int], voices: Sequence[Voice]
) -> str:
    for step, (accepted, closed) in possible.items():
        if closed and accepted == {new}:
            return voices[step].label
    return " + ".join(voices[step].label for step in backing)


def _words(steps: Mapping[int, _Said], voices: Sequence[Voice], candidate: Id | None = None) -> str:
    told = ((voices[step].label, said.words(candidate)) for step, said in steps.items())
    return "; ".join(f"{label}: {words}" for label, words in told if words)


def _candidates(
    listed: Collection[Id], speaking: Mapping[int, _Said], voices: Sequence[Voice]
) -> tuple[Candidate, ...]:
    """The candidates with the most steps and witnesses for them, in an order that does not depend on chance."""

    def rank(candidate: Id) -> tuple[int, int, int, str]:
        backing = [witnesses for told in speaking.values() if (witnesses := told.backed[candidate])]
        unanimous = sum(told.spoke == told.backed[candidate] for told in speaking.values())
        return -len(backing), -unanimous, -sum(backing), str(candidate)

    return tuple(_candidate(candidate, speaking, voices) for candidate in nsmallest(_SHOWN, listed, key=rank))


def _candidate(candidate: Id, speaking: Mapping[int, _Said], voices: Sequence[Voice]) -> Candidate:
    backed = {voices[step].label: told.backed[candidate] for step, told in speaking.items()}
    opposed = {voices[step].label: told.spoke - told.backed[candidate] for step, told in speaking.items()}
    return Candidate(
        candidate,
        {label: count for label, count in backed.items() if count},
        {label: count for label, count in opposed.items() if count},
    )
