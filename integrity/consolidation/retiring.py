"""The end of the old table: proof that it says nothing else, then a name under which nobody finds it by accident.

It is kept whole under that name, so that it comes back with every byte, index and right that it had.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from integrity.consolidation.foreign_keys import references_to
from integrity.consolidation.own_keys import take_hold
from integrity.consolidation.typed import still_typed
from integrity.enforcement.names import shortened
from integrity.enforcement.ways import enforcement_of
from integrity.exceptions import Refused
from integrity.keys import as_json
from integrity.locking import lock_alone, lock_together
from integrity.look import look
from integrity.reports import Finding, RuleReport
from integrity.rules.agrees import Agrees
from integrity.scope import Scope
from integrity.statement import Statement, compose, fetch, name, run


def retired_name(rule: Agrees) -> str:
    """The name under which the right table is kept."""
    return shortened(f"{rule.other._meta.db_table}_retired", 63)


def has_table(table: str, connection: Any) -> bool:
    """True when the search path leads to it."""
    found = fetch(connection, Statement("SELECT to_regclass(quote_ident(%s)) IS NOT NULL AS found", (table,)))
    return bool(found[0]["found"])


def prove(rule: Agrees, report: RuleReport, *, seconds: float | None = None) -> None:
    """Lock both tables against writers, and look at every row and field of both. Raises Refused with what was found.

    Inside the transaction in which the table goes: nothing is written between proof and end. Accepted exceptions count
    here like any other difference. seconds: see lock_together().
    """
    connection = connections[DEFAULT_DB_ALIAS]
    left, right = rule.model._meta.db_table, rule.other._meta.db_table
    lock_together([left, right], connection, seconds=seconds)
    with transaction.atomic():
        # At the end readers have to go too: one who stays for long is met now, not after the proof, during
        # which others may read.
        lock_alone([left, right], connection)
        transaction.set_rollback(True)
    referring = [f"{key.table}.{key.column}" for key in references_to(right, connection)]
    referring += still_typed(rule, connection)
    if referring:
        raise Refused(
            f"{', '.join(referring)} still refer to {right}. Nothing was changed."
            f" Next: manage.py integrity consolidate {rule.label} --phase references"
        )
    look(rule, Scope(), DEFAULT_DB_ALIAS, report)
    if report.violations:
        raise Refused(
            f"{left} and {right} do not agree: {_counted(report.counts)}. Nothing was changed."
            f" Next: manage.py integrity consolidate {rule.label} --phase copy"
        )


def retire(rule: Agrees) -> int:
    """Take the triggers away and rename the table, of which nobody reads or writes meanwhile. How many rows it holds.

    Its own foreign keys are let go afterwards, which takes locks on what they refer to.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    table, kept = rule.other._meta.db_table, retired_name(rule)
    if has_table(kept, connection):
        raise Refused(f"There is a table {kept} already, from an earlier consolidation. Nothing was changed. Drop it.")
    rows = _rows_of(table, connection)
    lock_alone([rule.model._meta.db_table, table], connection)
    keep_equal_no_longer(rule)
    run(connection, compose("ALTER TABLE {table} RENAME TO {kept}", table=name(table), kept=name(kept)))
    return rows


def bring_back(rule: Agrees) -> tuple[int, int]:
    """Rename it back and, where the rule is enforced, keep both tables equal from now on.

    How many rows it has, and how many are not back because what they refer to was deleted meanwhile.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    table, kept = rule.other._meta.db_table, retired_name(rule)
    run(connection, compose("ALTER TABLE {kept} RENAME TO {table}", table=name(table), kept=name(kept)))
    lost = take_hold(table, connection)
    rows = _rows_of(table, connection)
    if rule.enforce:
        keep_equal(rule)
    return rows, lost


def keep_equal(rule: Agrees) -> None:
    """Install the triggers, whatever the tables say now."""
    _carry_out(enforcement_of(rule).guard(DEFAULT_DB_ALIAS))


def keep_equal_no_longer(rule: Agrees) -> None:
    """Take the triggers away, if they are there."""
    _carry_out(enforcement_of(rule).remove(DEFAULT_DB_ALIAS))


def _rows_of(table: str, connection: Any) -> int:
    return int(fetch(connection, compose("SELECT count(*) AS n FROM {table}", table=name(table)))[0]["n"])


def _carry_out(steps: Iterable[Any]) -> None:
    connection = connections[DEFAULT_DB_ALIAS]
    for step in steps:
        if step.tables:
            lock_together(step.tables, connection)
        for statement in step.statements:
            run(connection, statement)


def told(rule: Agrees, report: RuleReport) -> list[str]:
    """What was found, a line for each row: which fields differ and what either table says."""
    left, right = rule.model._meta.db_table, rule.other._meta.db_table
    return [_line(rule, found, left, right) for found in report.sample if found.evidence]


def _line(rule: Agrees, found: Finding, left: str, right: str) -> str:
    key = ", ".join(f"{field} {part}" for field, part in rule.key_as_json(found.key).items())
    if found.evidence["found"] != "modified":
        there, missing = (left, right) if found.evidence["found"] == "only_left" else (right, left)
        return f"{key}: only in {there}, not in {missing}"
    fields = (
        f"{f} {as_json(found.actual[f])} in {left}, {as_json(found.expected[f])} in {right}" for f in found.actual
    )
    return f"{key}: {'; '.join(fields)}"


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {sort.replace('_', ' ')}" for sort, number in counts.items())
