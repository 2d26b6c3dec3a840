"""What keeps a repair from doing harm: time limits, the lock of its run, the brake, and the other rules."""

from __future__ import annotations

import math
import re
from collections.abc import Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import zip_longest
from typing import Any

from django.db.models import Model

from integrity import deadline
from integrity.conf import conf
from integrity.enforcement.along import rows_along
from integrity.enforcement.declared import our_triggers
from integrity.exceptions import Harm, Refused, UsageError
from integrity.keys import Key, pk_columns
from integrity.models import Run
from integrity.registry import registry
from integrity.repairing.harmful import can_harm
from integrity.repairing.holding import Holding
from integrity.repairing.plan import Plan
from integrity.rules.base import Rule
from integrity.rules.comparison import apart
from integrity.schema import triggers
from integrity.scope import Scope
from integrity.statement import Statement, compose, fetch, from_queryset, name, names, value
from integrity.touched import KeysOf, concerns, touched

# Images are text; these make PostgreSQL print each value so that it reads back the same.
_PINNED = {
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "1",
    "bytea_output": "hex",
    "xmloption": "content",
}


def enter(run: Run, rules: Sequence[str], connection: Any, holding: Holding | None = None) -> None:
    """Begin a batch: limits, pinned formats, and proof that the run, or the part of it that we hold, is still ours.

    It is held until the batch ends, so that a process whose run was taken over cannot write. Raises LostRun.
    """
    limits = {"lock_timeout": f"{conf().LOCK_TIMEOUT_MS}ms", **_PINNED}
    with connection.cursor() as cursor:
        # Each statement must see what was committed before it; a snapshot kept from an earlier one would be stale.
        cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        settings = ", ".join("set_config(%s, %s, true)" for _ in limits)
        cursor.execute(f"SELECT {settings}", [part for pair in limits.items() for part in pair])
    deadline.bound(connection)
    (holding or Holding(run)).prove(rules, connection)


def lock_parents(rule: Rule, scope: Scope, connection: Any) -> set[Key]:
    """Lock the rule's rows in key order; answer the keys of those that somebody else holds.

    What is planned must be computed by a later statement, which sees what a writer that held them has committed. Of
    several rows none is waited for: a repair that waits while it holds rows can close a circle of waits, and the server
    may end the user's transaction to open it. A single row is waited for, while nothing else is held.
    """
    return {key for root in rule.roots() for key in _lock_root(rule, root, scope, connection)}


def _lock_root(rule: Rule, root: type[Model], scope: Scope, connection: Any) -> set[Key]:
    rows = rule.restrict(root._base_manager.using(connection.alias), scope).order_by("pk")
    rows = rows.values(*(field.attname for field in root._meta.local_concrete_fields if field.column))
    # A primary key is never NULL, and a hash of it holds however few rows the planner expects.
    others = compose(
        "SELECT a.* FROM ({rows}) AS a WHERE ({own}) NOT IN (SELECT {pks} FROM held)",
        rows=from_queryset(rows, connection.alias),
        own=names(pk_columns(root), of="a"),
        pks=names(pk_columns(root)),
    )
    several = scope.keys is None or len(scope.keys) > 1
    held = from_queryset(rows.select_for_update(skip_locked=several, of=("self",)), connection.alias)
    found = compose("WITH held AS MATERIALIZED ({held}) {keys}", held=held, keys=rule.keys_of_rows(others, root))
    return {tuple(row.values()) for row in fetch(connection, found)}


def wait_little(connection: Any) -> None:
    """From here on rows are held, so that what still has to be waited for is given up soon: see lock_parents()."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{max(1, conf().LOCK_TIMEOUT_MS // 8)}ms"])


# The brake


@dataclass(frozen=True)
class Brake:
    """How much of a table a repair may write: ``rows`` or ``share`` of it, whichever is more."""

    rows: int
    share: Fraction
    """Exact: 29% of 100 rows are 29, which floats deny."""

    @classmethod
    def declared(cls, text: str | None) -> Brake:
        """``30%`` or ``5000``, or the settings for None. Raises UsageError."""
        if text is None:
            return cls(conf().MAX_AFFECTED_ROWS, Fraction(str(conf().MAX_AFFECTED_SHARE)))
        if match := re.fullmatch(r"(\d+(?:\.\d+)?)%", text.strip()):
            if Fraction(match[1]) <= 100:
                return cls(0, Fraction(match[1]) / 100)
        elif re.fullmatch(r"\d+", text.strip()):
            return cls(int(text), Fraction(0))
        raise UsageError(f"--max-affected {text!r} is neither a share such as 30% nor a number of rows such as 5000.")

    @property
    def opened(self) -> bool:
        """True when somebody asked for other limits than the usual."""
        return self != Brake.declared(None)

    def check(self, table: str, planned: int, written: int, connection: Any, *, rows: int | None = None) -> None:
        """Raise Refused when more would be written than allowed. The table is counted no further than necessary.

        written: what earlier passes of the same repair have written already. rows: how many the table has, where
        that is known.
        """
        total = planned + written
        if total <= self.rows:
            return
        wanted = math.ceil(total / self.share) if self.share else 0
        counted = self._count(table, wanted, connection) if rows is None else rows
        if total <= self.share * counted:
            return
        before = f"{written} were written before." if written else "Nothing was written."
        raise Refused(
            f"{planned} rows of {table} would be written and {self.describe()} may be ({counted} rows were counted)."
            f" {before} Look at the plan with --dry-run; to allow it: --max-affected {total}"
        )

    def describe(self) -> str:
        if not self.share:
            return f"{self.rows} rows"
        share = f"{float(self.share * 100):.10g}% of it"
        return f"{self.rows} rows or {share}" if self.rows else share

    @staticmethod
    def _count(table: str, wanted: int, connection: Any) -> int:
        counted = compose(
            "SELECT count(*) AS n FROM (SELECT FROM {table} LIMIT {wanted}) AS t",
            table=name(table),
            wanted=value(wanted),
        )
        return int(fetch(connection, counted)[0]["n"])


def refuse_triggers(plans: Iterable[Plan], allowed: Iterable[str], connection: Any) -> None:
    """Refuse to fire a trigger of somebody else: what it writes would be neither journaled nor undone."""
    spared = {*allowed, *our_triggers(registry)}
    for plan in plans:
        for operation in plan.operations:
            table = plan.model._meta.db_table
            foreign = [t for t in triggers(table, operation, plan.sets, connection) if t not in spared]
            if foreign:
                raise Refused(
                    f"The {operation} of {table} would fire the trigger {', '.join(foreign)},"
                    " whose own writes could not"
                    " be journaled or undone. Nothing was written. If it writes nothing that matters, declare it on the"
                    f" repair: allow_triggers={foreign!r}."
                )


# Do no harm

Seen = dict[Key, dict[str, Any]]


class DoNoHarm:
    """Rules and those of their keys that a write can concern, looked at before and after it.

    The look before is needed, or every old violation would block every repair.
    """

    def __init__(
        self,
        keys: dict[Rule, set[Key]],
        connection: Any,
        known: dict[Rule, Statement] | None = None,
        scope: Scope | None = None,
    ) -> None:
        """known: statements that tell, also after the write, what broke a rule before it. scope: what is looked at,
        instead of the keys.
        """
        self.connection = connection
        self.keys, self.scope = keys, scope
        self.known = known or {}
        self.before = {rule: self._look(rule) for rule in keys if rule not in self.known}

    @classmethod
    def around(cls, rules: Sequence[Rule], plans: Sequence[Plan], connection: Any, *, sparing: bool = True) -> DoNoHarm:
        """The rules with every key that the planned rows can concern, as they are and as they will be.

        Rules that can only be checked whole are left out. sparing: what a plan cannot harm is not looked at for it;
        False where what is written may not be what is planned.
        """
        written = [(plan, rows) for plan in plans for rows in plan.concerned()]
        spared = {(rule, plan) for plan in plans for rule in rules if sparing and not can_harm(rule, plan)}
        keys: dict[Rule, set[Key]] = {}
        for rule, found in cls._touched(rules, written, connection, spared):
            keys.setdefault(rule, set()).update(found)
        return cls(keys, connection)

    def add(self, plan: Plan, source: Statement) -> None:
        """Keys of written rows that were not known before, because they had no key yet."""
        for rule, found in self._touched(self.keys, [(plan, source)], self.connection):
            self.keys[rule].update(found)

    @staticmethod
    def _touched(
        rules: Iterable[Rule],
        written: Sequence[tuple[Plan, Statement]],
        connection: Any,
        spared: Container[tuple[Rule, Plan]] = (),
    ) -> Iterator[tuple[Rule, set[Key]]]:
        """Keys that the rows, and those that triggers write in answer, can concern, of each rule that can be scoped."""
        keys_of = KeysOf(connection)
        along = rows_along(registry, [(plan.model, source) for plan, source in written], keys_of)
        # The planned ones come first; nobody knows what triggers change of those that they write in answer.
        for (model, source), plan in zip_longest(along, (plan for plan, _ in written)):
            for rule in rules:
                if (rule, plan) in spared or not concerns(model, rule):
                    yield rule, set()
                elif statement := touched(rule, model, source):
                    yield rule, keys_of(statement)

    def look_again(self) -> dict[Rule, Seen]:
        """What breaks each rule now."""
        return {rule: self._look(rule) for rule in self.keys}

    def check(self) -> dict[Rule, Seen]:
        """What breaks each rule now. Raises Harm naming the rule that is broken anew, or more than before."""
        after = self.look_again()
        for rule, violations in after.items():
            for key, row in violations.items():
                if worse(self._before(rule).get(key), row):
                    raise Harm(harm(rule, key, row))
        return after

    def is_as_before(self, rule: Rule, key: Key, row: dict[str, Any]) -> bool:
        """True for a violation with the same values as before."""
        before = self._before(rule).get(key, {})
        return all(before.get(c) == v for c, v in row.items() if c.startswith(("actual__", "expected__")))

    def _before(self, rule: Rule) -> Seen:
        if rule not in self.before:
            self.before[rule] = self._seen(rule, self.known[rule])
        return self.before[rule]

    def _look(self, rule: Rule) -> Seen:
        keys = self.keys[rule]
        if not keys and self.scope is None:
            return {}
        scope = self.scope or Scope.of(sorted(keys, key=str))
        return self._seen(rule, rule.violations(scope, self.connection.alias))

    def _seen(self, rule: Rule, statement: Statement) -> Seen:
        rows = fetch(self.connection, statement)
        parts = [f"key__{key.name}" for key in rule.key_fields]
        return {tuple(row[part] for part in parts): row for row in rows}


def worse(before: dict[str, Any] | None, after: dict[str, Any]) -> bool:
    """True for a violation that was not there, or whose difference grew."""
    if before is None:
        return True
    for column in (c.removeprefix("actual__") for c in after if c.startswith("actual__")):
        if f"expected__{column}" not in after:
            continue
        then = apart(before[f"actual__{column}"], before[f"expected__{column}"])
        now = apart(after[f"actual__{column}"], after[f"expected__{column}"])
        if then is not None and (now is None or now > then):
            return True
    return False


def harm(rule: Rule, key: Key, row: dict[str, Any]) -> str:
    """Which rule would be broken, where, and what to do."""
    where = ", ".join(f"{name} {part}" for name, part in rule.key_as_json(key).items())
    actual = ", ".join(f"{c.removeprefix('actual__')} {v}" for c, v in row.items() if c.startswith("actual__"))
    expected = ", ".join(f"{v}" for c, v in row.items() if c.startswith("expected__"))
    return (
        f"The repair would break {rule.label} at {where} ({actual}; expected {expected}). It was rolled back."
        f" If {rule.label} has a repair of its own, repair both in one run."
    )
