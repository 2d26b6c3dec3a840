"""Which of several rules is repaired first: the one whose repair writes what another one reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter

from integrity.exceptions import UsageError
from integrity.keys import pk_columns
from integrity.repairs.base import Repair
from integrity.rules.base import Rule

Column = tuple[str, str]
Job = tuple[Rule, str, tuple[Repair, ...]]

ANY = "*"


def in_order(jobs: Sequence[Job]) -> list[Job]:
    """The jobs so that each repair finds what it reads already repaired. Raises UsageError for a circle."""
    sorter: TopologicalSorter[int] = TopologicalSorter({i: [] for i in range(len(jobs))})
    for i, (reader, _, _) in enumerate(jobs):
        for j, (writer, _, steps) in enumerate(jobs):
            if i != j and overlap(written(writer, steps), read(reader)):
                sorter.add(i, j)
    try:
        return [jobs[i] for i in sorter.static_order()]
    except CycleError as error:
        names = " -> ".join(jobs[i][0].label for i in error.args[1])
        raise UsageError(
            f"Each of these repairs changes what another one reads: {names}. Repair them one at a time,"
            " and look between."
        ) from None


def written(rule: Rule, steps: Iterable[Repair]) -> set[Column]:
    """(table, column) pairs that a repair may change; ``*`` for whole rows."""
    return {
        (model._meta.db_table, column) for step in steps for model in step.writes(rule) for column in step.columns(rule)
    }


def read(rule: Rule) -> set[Column]:
    """(table, column) pairs that decide whether a row breaks the rule, those that it keeps true itself left out."""
    found = {(model._meta.db_table, ANY) for model in rule.reads_whole()}
    for path in rule.all_paths():
        for hop in path.hops:
            found.add(
                (hop.model._meta.db_table, ANY) if hop.many else (hop.model._meta.db_table, pk_columns(hop.model)[0])
            )
        end = path.field
        found.add((end.model._meta.db_table, end.column))
    return found


def overlap(one: set[Column], other: set[Column]) -> bool:
    """True when a column is in both."""
    return any(a == b and (c == d or ANY in (c, d)) for a, c in one for b, d in other)


def feeds_itself(rule: Rule, steps: Iterable[Repair]) -> bool:
    """True when a repaired row changes what other rows of the same rule should be, as in a chain of totals."""
    return any(overlap(written(rule, [step]), _read_of_others(rule, step)) for step in steps)


def _read_of_others(rule: Rule, step: Repair) -> set[Column]:
    """(table, column) pairs that a key reads beyond its own row and the related rows that count for it alone."""
    return {
        (path.field.model._meta.db_table, path.field.column)
        for path in rule.all_paths()
        if path.hops and path.field.column and [hop.name for hop in path.hops] != [step.relation]
    }
