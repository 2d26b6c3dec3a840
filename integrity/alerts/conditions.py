"""The states of a rule that people are told of, and every move between them.

A condition holds for a rule and a database or it does not, each by itself. What a run has seen lets some begin and some
end; people hear of what has really changed, once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from enum import Enum, StrEnum


class Condition(StrEnum):
    """What can be wrong; the order is that of a message."""

    FAILS = "fails"
    GROWN = "grown"
    """More violations than its ``alert_above``."""
    NOT_CHECKED = "not checked"
    UNNOTICED = "unnoticed"
    """A full look has found what was written past the triggers of a tracked rule."""
    NOT_IMPORTED = "not imported"
    MISSED = "missed"
    """A scheduled run did not begin."""
    OVERDUE = "overdue"
    """The last full look is longer ago than it may be."""
    HEALING = "healing"
    """An automatic repair is about to put right what a look has found; nobody is told before it has ended."""
    AWAITED = "awaited"
    """Declared lately, and not looked at yet; nobody is told."""


class Seen(Enum):
    """What a run, or a look at the clock, says about a rule."""

    HOLDS = "everything was looked at, and nothing breaks it"
    FAILS_LITTLE = "violations, at most half of its limit"
    FAILS = "violations"
    FAILS_PAST_LIMIT = "more violations than its limit"
    SOME_FAIL = "violations among some keys"
    SOME_PAST_LIMIT = "more violations than its limit among some keys"
    TO_BE_HEALED = "violations that an automatic repair is about to put right"
    NOT_CHECKED = "a look at everything gave no answer"
    ALL_NOTED = "a full look agrees with what was noted"
    UNNOTICED = "a full look does not"
    IMPORTED = "an import was completed"
    NOT_IMPORTED = "an import was not"
    MISSED = "a scheduled run is missing"
    ON_TIME = "none is"
    OVERDUE = "no full look for too long"
    SWEPT = "a full look not long ago"
    AWAITED = "nobody has looked yet, and it is new"
    BEGUN = "somebody has"


_C = Condition
TRANSITIONS: dict[Seen, tuple[set[Condition], set[Condition]]] = {
    # what was seen: what begins, what ends
    Seen.HOLDS: (set(), {_C.FAILS, _C.GROWN, _C.NOT_CHECKED, _C.HEALING}),
    # Between half of the limit and the limit it stays as it was, or a number that swings around it would tire people.
    Seen.FAILS_LITTLE: ({_C.FAILS}, {_C.GROWN, _C.NOT_CHECKED, _C.HEALING}),
    Seen.FAILS: ({_C.FAILS}, {_C.NOT_CHECKED, _C.HEALING}),
    Seen.FAILS_PAST_LIMIT: ({_C.FAILS, _C.GROWN}, {_C.NOT_CHECKED, _C.HEALING}),
    # Nothing is proven of the other keys: nothing ends but the hope that nobody need be told.
    Seen.SOME_FAIL: ({_C.FAILS}, {_C.HEALING}),
    Seen.SOME_PAST_LIMIT: ({_C.FAILS, _C.GROWN}, {_C.HEALING}),
    Seen.TO_BE_HEALED: ({_C.HEALING}, set()),
    # Nobody knows better than before: a rule that failed goes on failing.
    Seen.NOT_CHECKED: ({_C.NOT_CHECKED}, set()),
    Seen.ALL_NOTED: (set(), {_C.UNNOTICED}),
    Seen.UNNOTICED: ({_C.UNNOTICED}, set()),
    Seen.IMPORTED: (set(), {_C.NOT_IMPORTED}),
    Seen.NOT_IMPORTED: ({_C.NOT_IMPORTED}, set()),
    Seen.MISSED: ({_C.MISSED}, set()),
    Seen.ON_TIME: (set(), {_C.MISSED}),
    Seen.OVERDUE: ({_C.OVERDUE}, set()),
    Seen.SWEPT: (set(), {_C.OVERDUE}),
    Seen.AWAITED: ({_C.AWAITED}, set()),
    Seen.BEGUN: (set(), {_C.AWAITED}),
}

BEGINS, ENDS = True, False
Turn = tuple[Condition, bool]
EVENTS: dict[Turn, str] = {
    (_C.FAILS, BEGINS): "starts_failing",
    (_C.GROWN, BEGINS): "grows",
    (_C.NOT_CHECKED, BEGINS): "not_checked",
    (_C.UNNOTICED, BEGINS): "unnoticed",
    (_C.NOT_IMPORTED, BEGINS): "not_imported",
    (_C.MISSED, BEGINS): "missed",
    (_C.OVERDUE, BEGINS): "overdue",
    (_C.FAILS, ENDS): "recovers",
    (_C.HEALING, ENDS): "healed",
    (_C.NOT_CHECKED, ENDS): "checked_again",
    (_C.UNNOTICED, ENDS): "noted_again",
    (_C.NOT_IMPORTED, ENDS): "imported_again",
    (_C.MISSED, ENDS): "on_time_again",
    (_C.OVERDUE, ENDS): "swept_again",
}
"""How a turn is called in messages and JSON, the worst first. The others are told to nobody."""
ORDER = list(EVENTS.values())
GOOD = {event for (_, begins), event in EVENTS.items() if not begins}


def turns(seen: Iterable[Seen], now: Collection[Condition]) -> list[Turn]:
    """What changes, given the conditions that hold now."""
    found: list[Turn] = []
    for one in seen:
        begins, ends = TRANSITIONS[one]
        found += [(what, BEGINS) for what in begins if what not in now]
        found += [(what, ENDS) for what in ends if what in now]
    return found


def events(changed: Collection[Turn]) -> list[str]:
    """What is told of changes of one rule, the worst first: one that says another is told alone."""
    says = {
        (_C.FAILS, BEGINS): {(_C.GROWN, BEGINS), (_C.NOT_CHECKED, ENDS), (_C.HEALING, ENDS)},
        (_C.FAILS, ENDS): {(_C.NOT_CHECKED, ENDS), (_C.HEALING, ENDS)},
        (_C.GROWN, BEGINS): {(_C.NOT_CHECKED, ENDS)},
    }
    said = {other for turn in changed for other in says.get(turn, ())}
    return sorted((EVENTS[turn] for turn in changed if turn not in said and turn in EVENTS), key=ORDER.index)
