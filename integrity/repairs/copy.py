"""Copy: of two tables that should agree, the declared winner's values go to the other one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, cast

from django.db.models import Model

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, pk_columns
from integrity.repairs.base import Repair, Write
from integrity.rules.agrees_pairs import ONLY_LEFT, ONLY_RIGHT, Pairs
from integrity.scope import Scope
from integrity.statement import Statement, compose, joined, name, value

if TYPE_CHECKING:
    from integrity.rules.agrees import Agrees
    from integrity.rules.base import Rule

Winner = Literal["left", "right", "newest", "highest"]
WINNERS = ("left", "right", "newest", "highest")


class Copy(Repair):
    """``Copy("newest", by="updated_at")``: for a rule that two tables agree.

    A row that one table lacks is inserted with every field of the rule, timestamps as they are. Where two rows differ,
    the winner's fields are written to the other one: ``left`` or ``right``; ``newest``, the row with the higher value
    of ``by``; ``highest``, field by field, but for those in ``lowest`` of which the lower one wins. ties: which side
    is the newest of two that are equally new; without it they are left alone and reported, with both values.

    Fields that agree are not written, and nothing is deleted. Columns that the rule does not name get their defaults.
    """

    verb = "copy missing rows and the winner's values to the other table"
    one_row_each = True

    def __init__(
        self,
        winner: Winner,
        *,
        by: str | None = None,
        ties: Literal["left", "right"] | None = None,
        lowest: Sequence[str] = (),
        allow_triggers: Sequence[str] = (),
    ) -> None:
        super().__init__(allow_triggers=allow_triggers)
        self.winner = winner
        self.by = by
        self.ties = ties
        self.lowest = tuple(lowest)

    def writes(self, rule: Rule) -> list[type[Model]]:
        agrees = cast("Agrees", rule)
        return [agrees.model, agrees.other]

    def problems(self, rule: Rule) -> Iterable[WrongDeclaration]:
        if rule.kind != "agrees":
            yield WrongDeclaration("is Copy, which only an Agrees rule has two tables for", "Choose another repair.")
            return
        agrees = cast("Agrees", rule)
        if not any(agrees.problems()):
            yield from self._winner_problems()
            yield from self._field_problems(agrees)

    def _winner_problems(self) -> Iterable[WrongDeclaration]:
        if self.winner not in WINNERS:
            yield WrongDeclaration(f"has the winner {self.winner!r}", f"One of {', '.join(WINNERS)}.")
        if (self.winner == "newest") != (self.by is not None):
            yield WrongDeclaration(
                "does not say by which field the newest row is known"
                if self.winner == "newest"
                else f"has by={self.by!r}, which only the winner 'newest' reads",
                'Write Copy("newest", by="updated_at").',
            )
        if self.ties is not None and (self.winner != "newest" or self.ties not in ("left", "right")):
            yield WrongDeclaration(
                f"has ties={self.ties!r}", "It is 'left' or 'right', and goes with the winner 'newest'."
            )
        if self.lowest and self.winner != "highest":
            yield WrongDeclaration("has lowest=, which only the winner 'highest' reads", "Leave it out.")

    def _field_problems(self, rule: Agrees) -> Iterable[WrongDeclaration]:
        for field in [*self.lowest, *([self.by] if self.by else [])]:
            if field not in rule.fields:
                yield WrongDeclaration(f"names {field!r}, which the rule does not compare", "Name it in fields=.")
        for left, right in rule.fields.items():
            places = {getattr(held, "decimal_places", None) for held in (rule.left(left), rule.right(left))}
            if len(places - {None}) == 2 and not rule.tolerance(left):
                yield WrongDeclaration(
                    f"would round: {left!r} has other decimal places than {right!r} of {rule.other._meta.label}",
                    "Give the rule a tolerance= for it.",
                )

    def plan(self, rule: Rule, scope: Scope, using: str) -> list[Write]:
        agrees = cast("Agrees", rule)
        return [_Side(self, agrees, scope, using, own).write() for own in ("left", "right")]


class _Side:
    """What is written to one of the two tables, over pairs ``d``."""

    def __init__(self, repair: Copy, rule: Agrees, scope: Scope, using: str, own: str) -> None:
        self.repair, self.rule, self.own = repair, rule, own
        self.pairs = Pairs(rule, scope, using)
        self.model = rule.model if own == "left" else rule.other
        self.mine, self.theirs = ("actual", "expected") if own == "left" else ("expected", "actual")

    def write(self) -> Write:
        rule, columns = self.rule, self._columns()
        selected = [
            compose("CASE WHEN {missing} THEN 'insert' ELSE 'update' END AS op", missing=self._missing()),
            *(compose("d.{k} AS {o}", k=name(f"key__{k}"), o=name(f"owner__{k}")) for k in rule.on),
            *(
                compose("d.{pk} AS {row}", pk=name(f"{self.own}__{pk}"), row=name(f"row__{pk}"))
                for pk in pk_columns(self.model)
            ),
            *(compose("{old} AS {c}", old=old, c=name(f"old__{column}")) for column, (old, _) in columns.items()),
            *(compose("{new} AS {c}", new=new, c=name(f"new__{column}")) for column, (_, new) in columns.items()),
            Statement("d.evidence__found, d.evidence__fields"),
        ]
        differing = [compose("({theirs} AND {d})", theirs=self._theirs(f), d=self.pairs.differ(f)) for f in rule.fields]
        statement = compose(
            "SELECT {selected} FROM ({pairs}) AS d WHERE {missing} OR (d.evidence__found = 'modified' AND ({loses}))",
            selected=joined(", ", selected),
            pairs=self.pairs.that_differ(to_write=True),
            missing=self._missing(),
            loses=joined(" OR ", differing),
        )
        keys = tuple(columns)[: len(rule.on)]
        return Write(self.model, statement, sets=tuple(columns), guards=tuple(columns), owned_by=keys)

    def _missing(self) -> Statement:
        return compose("d.evidence__found = {found}", found=value(ONLY_RIGHT if self.own == "left" else ONLY_LEFT))

    def _columns(self) -> dict[str, tuple[Statement, Statement]]:
        """Every mapped column with its old and its new value; the key of a row stays."""
        rule, found = self.rule, {}
        for left, right in rule.on.items():
            key = compose("d.{key}", key=name(f"key__{left}"))
            found[column_of(self.model, left if self.own == "left" else right)] = (key, key)
        for left, right in rule.fields.items():
            mine = compose("d.{c}", c=name(f"{self.mine}__{left}"))
            new = compose(
                "CASE WHEN {missing} OR ({theirs} AND {differ}) THEN {value} ELSE {mine} END",
                missing=self._missing(),
                theirs=self._theirs(left),
                differ=self.pairs.differ(left),
                value=self._value(left),
                mine=mine,
            )
            found[column_of(self.model, left if self.own == "left" else right)] = (mine, new)
        return found

    def _value(self, field: str) -> Statement:
        """The other side's value; what a NULL stands for, where this table takes no NULL."""
        theirs = compose("d.{c}", c=name(f"{self.theirs}__{field}"))
        held = self.rule.left(field) if self.own == "left" else self.rule.right(field)
        if held.null or not self.rule.has_stand_in(field):
            return theirs
        return compose("COALESCE({theirs}, {stand_in})", theirs=theirs, stand_in=self.pairs.stand_in(field))

    def _theirs(self, field: str) -> Statement:
        """The condition that the other side's value of a field wins."""
        winner = self.repair.winner
        if winner in ("left", "right"):
            return Statement("false" if winner == self.own else "true")
        mine, theirs = (name("d", f"{side}__{field}") for side in (self.mine, self.theirs))
        if winner == "highest":
            order = "<" if field in self.repair.lowest else ">"
            return compose(f"({{mine}} IS NULL OR {{theirs}} {order} {{mine}})", mine=mine, theirs=theirs)
        mine, theirs = (name("d", f"{side}__{self.repair.by}") for side in (self.mine, self.theirs))
        newer = compose("({theirs} > {mine}) IS TRUE", theirs=theirs, mine=mine)
        if self.repair.ties in (None, self.own):
            return newer
        # Neither is newer: also where one of them does not say.
        return compose("({theirs} >= {mine}) IS NOT FALSE", theirs=theirs, mine=mine)
