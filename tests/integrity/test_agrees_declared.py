"""Wrong declarations of Agrees and Copy: each told when Django starts, by what is wrong and what to do."""

import datetime
from typing import Any, cast

import pytest
from django.db.models import Q

from integrity import Agrees, Copy
from tests.integrity.helpers import declared
from tests.toy import models as toy

FIELDS = {"city": "town", "level": "level", "updated_at": "updated_at"}


def agrees(*copies, **options):
    options = {"on": {"member": "owner"}, "fields": FIELDS, **options}
    return declared(Agrees, toy.Profile, toy.OldProfile, name="twins", repairs={"copy": copies}, **options)


def lines(**options):
    return declared(Agrees, toy.Line, toy.OldLine, name="twins", **options)


OLDEST, BOTH = cast("Any", "oldest"), cast("Any", "both")

WRONG = {
    "unknown field": (agrees(fields=["size"]), "toy.Profile has no field 'size'", "Fields are"),
    "unknown field to copy": (agrees(Copy("left"), fields=["size"]), "toy.Profile has no field 'size'", "Fields are"),
    "unknown counterpart": (agrees(fields={"city": "place"}), "toy.OldProfile has no field 'place'", "Fields are"),
    "no key": (agrees(on=[]), "on= names no field", "counterpart"),
    "nothing compared": (agrees(fields=[]), "fields= names no field", "counterpart"),
    "a field of another table": (
        agrees(fields={"member__name": "owner__name"}),
        "'member__name' is not a field of the table of toy.Profile",
        "city",
    ),
    "the column of a relation": (
        agrees(on={"member_id": "owner_id"}),
        "'member_id' is not a field of the table",
        "member",
    ),
    "compared key": (
        agrees(fields={"member": "owner"}),
        "'member' is in on= and in fields=",
        "agree on it",
    ),
    "two with one counterpart": (
        agrees(fields={"level": "level", "id": "level"}),
        "'level' of toy.OldProfile is the counterpart of two fields",
        "one",
    ),
    "one table": (
        declared(Agrees, toy.Profile, toy.Profile, name="twins", on=["member"], fields=["city"]),
        "both sides are the table toy_profile",
        "Use Unique",
    ),
    "key that repeats": (
        agrees(on={"level": "level"}, fields={"city": "town"}),
        "level may occur twice in toy.Profile",
        "UniqueConstraint",
    ),
    "part of a key": (lines(on=["order"], fields={"quantity": "units"}), "order may occur twice", "UniqueConstraint"),
    "types that do not compare": (
        agrees(fields={"city": "level"}),
        "'city' is varchar and its counterpart 'level' of toy.OldProfile is smallint",
        "same type",
    ),
    "tolerance of nothing": (agrees(tolerance={"score": 1}), "tolerance= names 'score', which is not", "fields="),
    "tolerance of a text": (agrees(tolerance={"city": 1}), "whose values have no distance", "Leave it out"),
    "NULL of nothing": (agrees(nulls={"score": 0}), "nulls= names 'score', which is not compared", "fields="),
    "where over one table": (agrees(where=Q(score=1)), "'score' is not a field that both tables have", "either row"),
    "where over another table": (
        agrees(where=Q(member__name="")),
        "'member__name' is not a field that both tables have",
        "either row",
    ),
    "settle over one table": (
        agrees(settle={"created_at": datetime.timedelta(1)}),
        "'created_at' is not a field that both tables have",
        "either row",
    ),
    "unknown winner": (agrees(Copy(OLDEST)), "has the winner 'oldest'", "left, right, newest, highest"),
    "newest by nothing": (agrees(Copy("newest")), "does not say by which field", 'by="updated_at"'),
    "newest by something else": (agrees(Copy("newest", by="created_at")), "names 'created_at'", "fields="),
    "by without newest": (agrees(Copy("left", by="updated_at")), "which only the winner 'newest' reads", "newest"),
    "ties without newest": (agrees(Copy("left", ties="left")), "has ties='left'", "newest"),
    "unknown ties": (agrees(Copy("newest", by="updated_at", ties=BOTH)), "has ties='both'", "'left' or 'right'"),
    "lowest without highest": (agrees(Copy("left", lowest=["level"])), "has lowest=", "Leave it out"),
    "lowest of nothing": (agrees(Copy("highest", lowest=["score"])), "names 'score'", "fields="),
    "copy that rounds": (
        agrees(Copy("left"), fields={"score": "points"}),
        "would round: 'score' has other decimal places than 'points' of toy.OldProfile",
        "tolerance=",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_declaration_is_told_with_its_way_out(case):
    rule, message, hint = WRONG[case]
    told = rule.check()
    # What is wrong in both tables is told of each.
    assert (message in told[0].msg, hint in told[0].hint) == (True, True), told


def test_copy_is_refused_for_other_kinds():
    from integrity import Always

    rule = declared(Always, toy.Profile, Q(level__gt=0), name="level", repairs={"copy": Copy("left")})
    assert "only an Agrees rule has two tables" in rule.check()[0].msg


@pytest.mark.parametrize(
    "rule",
    [
        agrees(Copy("newest", by="updated_at", ties="left")),
        agrees(Copy("highest", lowest=["updated_at"]), where=Q(level__gt=1)),
        lines(on=["order", "number"], fields={"quantity": "units"}),
        agrees(tolerance=1, nulls={"city": ""}),
    ],
)
def test_a_right_declaration_has_no_problem(rule):
    assert rule.check() == []
