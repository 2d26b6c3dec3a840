"""Dividing a run into parts: everything that is decided once, before the first of them begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from integrity import records
from integrity.conf import conf
from integrity.journal import note_columns
from integrity.keys import Key
from integrity.look import cuts, keys_in, row_cuts
from integrity.models import Part, Result, Run
from integrity.rebuilding.leftovers import sweep
from integrity.repairing.emptiness import refuse_empty_reference
from integrity.repairing.rule_repair import RuleRepair
from integrity.repairing.whole_rules import count_whole
from integrity.reports import Wider
from integrity.rules.base import Rule
from integrity.schema import is_retired, missing_tables, require_declared
from integrity.workers.parts import END, KEYS, WHOLE, call_for

WHOLE_BEFORE = "whole_before"
"""In the options of a shared run: what rules that can only be checked whole had before it, by label."""


@dataclass(frozen=True)
class Piece:
    """What one part is to see to: keys of a rule, behind one and up to another, or all that the rule speaks about."""

    rule: Rule
    kind: str
    after: Key | None
    upto: Key | None
    keys: int


def pieces(rule: Rule, between: Sequence[Key], total: int, size: int) -> list[Piece]:
    """The stretches of keys between cuts that were made after every so many."""
    edges = [None, *between, None]
    counts = [size] * len(between) + [total - size * len(between)]
    return [
        Piece(rule, KEYS, after, upto, count) for after, upto, count in zip(edges[:-1], edges[1:], counts, strict=True)
    ]


def share(run: Run, found: Sequence[Piece], **options: Any) -> None:
    """From here on the run belongs to whoever takes a part of it. One transaction with the calls for workers."""
    with transaction.atomic():
        records.hold(run)
        made = Part.objects.bulk_create(
            [
                Part(
                    run=run,
                    number=number,
                    rule=piece.rule.label,
                    kind=piece.kind,
                    after=None if piece.after is None else piece.rule.key_as_json(piece.after),
                    upto=None if piece.upto is None else piece.rule.key_as_json(piece.upto),
                    keys=piece.keys,
                )
                for number, piece in enumerate(found, 1)
            ],
            batch_size=1_000,
        )
        Part.objects.create(run=run, number=len(found) + 1, kind=END)
        run.shared = True
        run.options = {**run.options, **options}
        run.save(update_fields=["shared", "options"])
        call_for([part.pk for part in made])


class RepairDivision(RuleRepair):
    """A repair that is divided where its violations are many, and carried out at once where they are few.

    Not divided: what is repaired in passes over all rows, because a repaired row changes what others should be.
    """

    divided = False

    def _perform(self) -> None:
        if is_retired(self.rule, DEFAULT_DB_ALIAS) or self.feeds_itself:
            super()._perform()
            return
        require_declared({*self.rule.reads(), *self.models}, self.connection)
        sweep({model._meta.db_table for model in self.models}, self.run, self.connection)
        size = conf().PART_KEYS if self.rule.divisible else conf().WINDOW_KEYS
        between, found, checked = cuts(self.rule, self._settled(), DEFAULT_DB_ALIAS, size)
        if not between:
            super()._perform()
            return
        self._prepare()
        refuse_empty_reference(self.rule, self.steps, self._scope())
        self._measure_all(found)
        whole = {rule.label: count_whole(rule) for rule in self._whole_rules()}
        self._note_columns()
        with transaction.atomic():
            Result.objects.filter(run=self.run, rule=self.rule.label).update(
                checked=checked, violations=found, planned=found
            )
            share(self.run, pieces(self.rule, between, found, size), **{WHOLE_BEFORE: whole})
        self.divided = True

    def _measure_all(self, found: int) -> None:
        """The brake, counted over the whole plan before any part begins."""
        keys: list[Key] = []
        if not self.of_each_key:
            keys, found, _ = keys_in(self.rule, self._settled(), DEFAULT_DB_ALIAS, conf().WINDOW_KEYS)
        self._measure(self._settled(), keys, found)

    def _note_columns(self) -> None:
        with transaction.atomic():
            records.hold(self.run)
            for model in self.models:
                note_columns(self.run, model, self.batch.allowed, self.connection)

    def _count_also(self, wider: Wider) -> None:
        if not self.divided:
            super()._count_also(wider)

    def _record(self) -> None:
        if not self.divided:
            super()._record()


def divide_analysis(rules: Sequence[Rule], queued: Run) -> bool:
    """Divide an analysis of whole tables that was put off; False where it is too small to be shared.

    A rule whose keys cannot be looked at apart is one part, and so is one that is tracked.
    """
    found = [piece for rule in rules for piece in _pieces(rule, queued.database)]
    if len(found) < 2:
        return False
    share(records.open_run(Run.Verb.ANALYZE, database=queued.database, actor=queued.actor), found)
    return True


def _pieces(rule: Rule, using: str) -> list[Piece]:
    whole = [Piece(rule, WHOLE, None, None, 0)]
    if rule.tracked or not rule.divisible or missing_tables(rule, using):
        return whole
    size = conf().PART_ROWS
    between, total = row_cuts(rule, using, size)
    return pieces(rule, between, total, size) if between else whole
