"""The states that people are told of: each move, and what is said of it."""

import pytest

from integrity.alerts.conditions import BEGINS, ENDS, EVENTS, TRANSITIONS, Condition, Seen, events, turns

FAILS, GROWN, NOT_CHECKED = Condition.FAILS, Condition.GROWN, Condition.NOT_CHECKED

# What is so, what is seen, what is so then, what is told.
MOVES = [
    ("", Seen.HOLDS, "", ""),
    ("", Seen.FAILS_LITTLE, "fails", "starts_failing"),
    ("", Seen.FAILS, "fails", "starts_failing"),
    ("", Seen.FAILS_PAST_LIMIT, "fails grown", "starts_failing"),
    ("", Seen.SOME_FAIL, "fails", "starts_failing"),
    ("", Seen.SOME_PAST_LIMIT, "fails grown", "starts_failing"),
    ("", Seen.NOT_CHECKED, "not_checked", "not_checked"),
    ("fails", Seen.HOLDS, "", "recovers"),
    ("fails", Seen.FAILS_LITTLE, "fails", ""),
    ("fails", Seen.FAILS, "fails", ""),
    ("fails", Seen.FAILS_PAST_LIMIT, "fails grown", "grows"),
    ("fails", Seen.SOME_FAIL, "fails", ""),
    ("fails", Seen.SOME_PAST_LIMIT, "fails grown", "grows"),
    ("fails", Seen.NOT_CHECKED, "fails not_checked", "not_checked"),
    ("fails grown", Seen.HOLDS, "", "recovers"),
    ("fails grown", Seen.FAILS_LITTLE, "fails", ""),
    ("fails grown", Seen.FAILS, "fails grown", ""),
    ("fails grown", Seen.FAILS_PAST_LIMIT, "fails grown", ""),
    ("fails grown", Seen.SOME_FAIL, "fails grown", ""),
    ("fails grown", Seen.SOME_PAST_LIMIT, "fails grown", ""),
    ("fails grown", Seen.NOT_CHECKED, "fails grown not_checked", "not_checked"),
    ("not_checked", Seen.HOLDS, "", "checked_again"),
    ("not_checked", Seen.FAILS_LITTLE, "fails", "starts_failing"),
    ("not_checked", Seen.FAILS, "fails", "starts_failing"),
    ("not_checked", Seen.FAILS_PAST_LIMIT, "fails grown", "starts_failing"),
    ("not_checked", Seen.SOME_FAIL, "fails not_checked", "starts_failing"),
    ("not_checked", Seen.SOME_PAST_LIMIT, "fails grown not_checked", "starts_failing"),
    ("not_checked", Seen.NOT_CHECKED, "not_checked", ""),
    ("fails not_checked", Seen.HOLDS, "", "recovers"),
    ("fails not_checked", Seen.FAILS_LITTLE, "fails", "checked_again"),
    ("fails not_checked", Seen.FAILS, "fails", "checked_again"),
    ("fails not_checked", Seen.FAILS_PAST_LIMIT, "fails grown", "grows"),
    ("fails not_checked", Seen.SOME_FAIL, "fails not_checked", ""),
    ("fails not_checked", Seen.SOME_PAST_LIMIT, "fails grown not_checked", "grows"),
    ("fails not_checked", Seen.NOT_CHECKED, "fails not_checked", ""),
    ("fails grown not_checked", Seen.HOLDS, "", "recovers"),
    ("fails grown not_checked", Seen.FAILS_LITTLE, "fails", "checked_again"),
    ("fails grown not_checked", Seen.FAILS, "fails grown", "checked_again"),
    ("fails grown not_checked", Seen.FAILS_PAST_LIMIT, "fails grown", "checked_again"),
    ("fails grown not_checked", Seen.SOME_FAIL, "fails grown not_checked", ""),
    ("fails grown not_checked", Seen.SOME_PAST_LIMIT, "fails grown not_checked", ""),
    ("fails grown not_checked", Seen.NOT_CHECKED, "fails grown not_checked", ""),
    ("", Seen.TO_BE_HEALED, "healing", ""),
    ("healing", Seen.TO_BE_HEALED, "healing", ""),
    ("healing", Seen.HOLDS, "", "healed"),
    ("healing", Seen.FAILS, "fails", "starts_failing"),
    ("healing", Seen.FAILS_LITTLE, "fails", "starts_failing"),
    ("healing", Seen.FAILS_PAST_LIMIT, "fails grown", "starts_failing"),
    ("healing", Seen.SOME_FAIL, "fails", "starts_failing"),
    ("healing", Seen.SOME_PAST_LIMIT, "fails grown", "starts_failing"),
    ("healing", Seen.NOT_CHECKED, "healing not_checked", "not_checked"),
    ("", Seen.UNNOTICED, "unnoticed", "unnoticed"),
    ("unnoticed", Seen.UNNOTICED, "unnoticed", ""),
    ("unnoticed", Seen.ALL_NOTED, "", "noted_again"),
    ("", Seen.ALL_NOTED, "", ""),
    ("", Seen.NOT_IMPORTED, "not_imported", "not_imported"),
    ("not_imported", Seen.NOT_IMPORTED, "not_imported", ""),
    ("not_imported", Seen.IMPORTED, "", "imported_again"),
    ("", Seen.IMPORTED, "", ""),
    ("", Seen.MISSED, "missed", "missed"),
    ("missed", Seen.MISSED, "missed", ""),
    ("missed", Seen.ON_TIME, "", "on_time_again"),
    ("", Seen.ON_TIME, "", ""),
    ("", Seen.OVERDUE, "overdue", "overdue"),
    ("overdue", Seen.OVERDUE, "overdue", ""),
    ("overdue", Seen.SWEPT, "", "swept_again"),
    ("", Seen.SWEPT, "", ""),
    ("", Seen.AWAITED, "awaited", ""),
    ("awaited", Seen.AWAITED, "awaited", ""),
    ("awaited", Seen.ON_TIME, "awaited", ""),
    ("awaited", Seen.BEGUN, "", ""),
    ("awaited", Seen.MISSED, "awaited missed", "missed"),
    ("awaited missed", Seen.ON_TIME, "awaited", "on_time_again"),
]


def conditions(words):
    return {Condition[word.upper()] for word in words.split()}


@pytest.mark.parametrize(("before", "seen", "after", "told"), MOVES, ids=str)
def test_a_rule_moves_as_the_table_says(before, seen, after, told):
    now = conditions(before)
    changed = turns([seen], now)
    then = (now | {what for what, begins in changed if begins}) - {what for what, begins in changed if not begins}
    assert (then, events(changed)) == (conditions(after), told.split())


def test_every_move_of_what_a_rule_can_be_is_tested():
    of_rules = {Seen.HOLDS, *(seen for seen in Seen if "FAIL" in seen.name or "SOME" in seen.name), Seen.NOT_CHECKED}
    states = ("", "fails", "fails grown", "not_checked", "fails not_checked", "fails grown not_checked")
    tested = {(before, seen) for before, seen, _, _ in MOVES}
    assert {(state, seen) for state in states for seen in of_rules} <= tested
    assert {seen for _, seen, _, _ in MOVES} == set(Seen) == TRANSITIONS.keys()


def test_whatever_begins_is_told_and_whatever_people_were_told_of_ends_with_a_word():
    silent = {(GROWN, ENDS), (Condition.HEALING, BEGINS), (Condition.AWAITED, BEGINS), (Condition.AWAITED, ENDS)}
    assert EVENTS.keys() == {(what, how) for what in Condition for how in (BEGINS, ENDS)} - silent


def test_two_things_at_once_are_both_told():
    changed = turns([Seen.FAILS, Seen.UNNOTICED], set())
    assert events(changed) == ["starts_failing", "unnoticed"]
