"""One batch of a repair: the order of its steps is what makes it safe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from integrity import deadline
from integrity.enforcement.along import models_along
from integrity.enforcement.names import stand_back
from integrity.exceptions import Refused
from integrity.journal import inserted_since, last_change, note_columns, write
from integrity.keys import Key
from integrity.look import finding
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repairing.cascades import Along, follow
from integrity.repairing.holding import Holding
from integrity.repairing.ordering import Job, feeds_itself
from integrity.repairing.plan import Plan
from integrity.repairing.worklist import Item, Keys, Work
from integrity.repairs.base import INSERT, Write
from integrity.reports import Finding, PlannedChange, added
from integrity.rules.base import Rule
from integrity.safety import DoNoHarm, Seen, enter, refuse_triggers, wait_little
from integrity.schema import is_retired
from integrity.statement import Statement, fetch
from integrity.throttle import Throttle

STEPS = ("locked", "planned", "written", "checked", "recorded", "committed")
"""What an Observer is told of, in this order; all but the last inside the transaction."""


@dataclass
class Outcome:
    """What became of the keys of one batch."""

    changes: int = 0
    left: dict[Key, Finding] = field(default_factory=dict)
    """Keys that still break the rule."""
    moved: set[Key] = field(default_factory=set)
    """Keys of which somebody holds or has changed a row meanwhile; nothing was written for them."""
    again: set[Item] = field(default_factory=set)
    """Those keys, and those of which a row was held to begin with, as they were given."""
    protected: dict[Key, str] = field(default_factory=dict)
    """Keys that are left alone because of other rows, and why; nothing was written for them."""
    done: dict[str, int] = field(default_factory=dict)
    """Planned rows by what becomes of them, in the words of the repair."""
    undone: dict[str, int] = field(default_factory=dict)
    """The same for rows that are left alone."""
    tables: dict[str, int] = field(default_factory=dict)
    """Rows planned by table."""
    planned: list[PlannedChange] = field(default_factory=list)

    def protect(self, keys: Iterable[Key], why: str) -> None:
        """Leave keys alone; the first reason stands."""
        self.protected = dict.fromkeys(keys, why) | self.protected


class Batch:
    """Repairs some keys of a rule in one transaction.

    exempt: labels of rules that may be broken in between, because the same run repairs them afterwards.
    """

    def __init__(
        self, job: Job, holding: Holding, connection: Any, exempt: set[str], observer: Observer, throttle: Throttle
    ) -> None:
        self.rule, _, self.steps = job
        self.holding, self.throttle = holding, throttle
        self.run, self.connection, self.exempt, self.observer = holding.run, connection, exempt, observer
        self.work: Work = Keys(self.rule, connection)
        self.allowed = {trigger for step in self.steps for trigger in step.allow_triggers}

    def carry_out(self, items: Sequence[Item], brake: Callable[[dict[str, int]], None], sample: int) -> Outcome:
        """Lock, plan, check, write, check again, record. ``brake`` may refuse what is planned.

        Raises Refused for what would do harm, and DatabaseError; then nothing of the batch stays.
        """
        outcome = Outcome()
        # The parents stay locked from before the plan until the commit: an increment between the two would be lost.
        with transaction.atomic(durable=True):
            enter(self.run, [self.rule.label], self.connection, self.holding)
            outcome.again = self.work.lock(items)
            items = [item for item in items if item not in outcome.again]
            if not items:
                return outcome
            wait_little(self.connection)
            self.observer.reaches("locked")
            plans = self._plans(items, outcome, lock=True)
            outcome.planned = [change for plan in plans for change in plan.sample(sample)][:sample]
            self.observer.reaches("planned")
            refuse_triggers(plans, self.allowed, self.connection)
            brake(outcome.tables)
            self._write(plans, items, outcome)
            self.throttle.notice()
            if self.run.dry_run:
                transaction.set_rollback(True)
            else:
                self._record(items, outcome)
            outcome.again |= self.work.among(items, outcome.moved)
            self.observer.reaches("recorded")
        self.observer.reaches("committed")
        return outcome

    def count(self, items: Sequence[Item]) -> dict[str, int]:
        """How many rows of each table would be written for these keys as things are now; nothing is locked."""
        outcome = Outcome()
        with transaction.atomic():
            deadline.bound(self.connection)
            writes = self._wanted(items)
            surplus = self.work.surplus(items)
            if surplus is not None and len(writes) == 1 and writes[0].all_but_one:
                return {self.rule.model._meta.db_table: surplus}
            self._plans(items, outcome, lock=False)
            transaction.set_rollback(True)
        return outcome.tables

    def _wanted(self, items: Sequence[Item]) -> list[Write]:
        scope = self.work.scope(items)
        return [write for step in self.steps for write in step.plan(self.rule, scope, DEFAULT_DB_ALIAS)]

    def _plans(self, items: Sequence[Item], outcome: Outcome, *, lock: bool) -> list[Plan]:
        """What the strategy wants to write, and what goes along with it: referring rows before what they refer to.

        An owner of which a row moved or is protected is left out as a whole.
        """
        complete: list[Plan] = []
        for planned in self._wanted(items):
            plan = Plan(self.rule, planned, self.connection)
            if planned.protects:
                outcome.protect(plan.owner_keys(), planned.why)
                outcome.undone = added(outcome.undone, plan.outcomes())
                continue
            if lock and not planned.locked:
                outcome.moved |= plan.lock()
            along = follow(plan, self.connection, lock=lock) if planned.cascades else Along()
            outcome.moved |= along.moved
            outcome.protect(along.protected, planned.why)
            if planned.alone:
                for other in along.plans:
                    outcome.protect(other.owner_keys(), f"rows of {other.model._meta.db_table} would be lost with it")
            complete += [*along.plans, plan]
        for plan in complete:
            plan.without(outcome.moved | outcome.protected.keys())
        for position, plan in enumerate(complete):
            if len(complete) > len(self.steps):
                plan.drop_repeated(complete[:position])
            table = plan.model._meta.db_table
            outcome.tables[table] = outcome.tables.get(table, 0) + plan.count()
            outcome.done = added(outcome.done, plan.outcomes())
        return [plan for plan in complete if plan.count()]

    def _write(self, plans: Sequence[Plan], items: Sequence[Item], outcome: Outcome) -> None:
        others = [
            rule
            for rule in registry.reading(models_along(registry, {plan.model for plan in plans}))
            if rule.label not in (*self.exempt, self.rule.label) and not is_retired(rule, DEFAULT_DB_ALIAS)
        ]
        guard = DoNoHarm.around(others, plans, self.connection, sparing=not self.allowed)
        known = self._known(plans, outcome)
        own = DoNoHarm({self.rule: set()}, self.connection, known=known, scope=self.work.scope(items))
        before = last_change() if any(plan.count(INSERT) for plan in plans) else 0
        for plan in plans:
            if not self.run.dry_run:
                note_columns(self.run, plan.model, self.allowed, self.connection)
            outcome.changes += self._journaled(plan)
        self.observer.reaches("written")
        with self.connection.cursor() as cursor:
            # What a deferred constraint would refuse at COMMIT is refused here, in a dry run too.
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for plan in plans:
            if plan.count(INSERT):
                guard.add(plan, inserted_since(before, plan.model, self.run, self.connection))
        guard.check()
        if self.rule.label in self.exempt:
            left = own.look_again()
        else:
            left = own.check()
            self._refuse_useless(plans, own, left)
        outcome.left = {key: finding(self.rule, row) for key, row in left[self.rule].items()}
        self.observer.reaches("checked")

    def _journaled(self, plan: Plan) -> int:
        """Write what is planned. The number of rows.

        Where that is the value which the rule's own trigger would compute again, the trigger has nothing to add; what
        it would correct would not be what the journal says.
        """
        own = self.rule.enforce and self.steps[0].of_each_key and not feeds_itself(self.rule, self.steps)
        if own:
            fetch(self.connection, stand_back(self.rule))
        written = write(plan, self.run, self.rule.label, self.connection)
        if own:
            fetch(self.connection, stand_back(None))
        return written

    def _known(self, plans: Sequence[Plan], outcome: Outcome) -> dict[Rule, Statement]:
        """What breaks the own rule before the write, where the plan tells it without a further look."""
        if len(self.steps) == len(plans) == 1:
            if self.steps[0].of_each_key:
                return {self.rule: plans[0].violations()}
            if plans[0].write.all_but_one and not outcome.moved and not outcome.protected:
                return {self.rule: plans[0].repeated()}
        return {}

    def _refuse_useless(self, plans: Sequence[Plan], own: DoNoHarm, left: dict[Rule, Seen]) -> None:
        """What changes nothing of what breaks the rule would be written again by the next repair, and by the next."""
        written = {key for plan in plans for key in plan.owner_keys()} if left[self.rule] else set()
        for key in written & left[self.rule].keys():
            if own.is_as_before(self.rule, key, left[self.rule][key]):
                where = ", ".join(f"{name} {part}" for name, part in self.rule.key_as_json(key).items())
                raise Refused(
                    f"What would be written for {self.rule.label} at {where} changes nothing of what"
                    " breaks it: the rule does not count such rows. It was rolled back. Correct the repair."
                )

    def _record(self, items: Sequence[Item], outcome: Outcome) -> None:
        self.holding.count(self.rule.label, len(items), outcome.changes, outcome.done)
        untouched = self.work.among(items, outcome.left.keys() | outcome.moved)
        self.work.resolve([item for item in items if item not in untouched], self.run)
