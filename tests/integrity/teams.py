"""A league whose teams got new ids, and the rules over what still refers to the old ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from integrity import Mapping, Named, Owned, References, Relink, Shift, Step
from integrity.repair import repair
from integrity.reports import Report
from tests.integrity.helpers import declared, registered
from tests.toy import teams as toy
from tests.toy.models import Person

OLD_2B, OLD_22, NEW_2B, NEW_22 = 87189, 87169, 88120, 88100
BY_KEY = {"town": "town__name", "series": "series__name", "league": "league__code"}

_names = itertools.count()


def mapping(**options: Any) -> Mapping:
    return Mapping(toy.TeamKey, old="team_id", by=BY_KEY, **options)


def named(**options: Any) -> Named:
    options = {"names": ["series__name"], "narrowed_by": ["town__name", "league__code"]} | options
    return Named({toy.Poll: "question", toy.Message: "text", toy.Practice: None}, **options)


def owned(**options: Any) -> Owned:
    options = {"within": "league", "its": {toy.Practice: "league"}} | options
    return Owned(
        {toy.Poll: "author", toy.Message: "captain", toy.Practice: "captain"},
        members=toy.Membership,
        user="person",
        target="team",
        primary="is_primary",
        **options,
    )


def everything() -> list[Step]:
    return [mapping(), Shift(at_least=5), named(), owned()]


def rules(*by: Step, practice: bool = False, **options: Any) -> list[References]:
    """A rule for polls and one for messages that share a Relink, and one for practice times if wished."""
    relink = Relink(by=by or everything(), **options)
    made = [
        declared(References, toy.Poll, "team", name="poll_has_a_team", repairs={"relink": relink}),
        declared(
            References, toy.Message, "team_id", to=toy.Team, name="message_has_a_team", repairs={"relink": relink}
        ),
    ]
    if practice:
        agreeing = {"league_id": "league_id"}
        made.append(
            declared(
                References,
                toy.Practice,
                "team_id",
                to=toy.Team,
                agreeing=agreeing,
                name="practice_has_a_team",
                repairs={"relink": relink},
            )
        )
    assert [problem for rule in made for problem in rule.check()] == []
    return made  # type: ignore[return-value]


@contextmanager
def known(*by: Step, **options: Any) -> Iterator[list[References]]:
    made = rules(*by, **options)
    with registered(*made):
        yield made


def relinked(*by: Step, dry_run: bool = False, keys: Any = None, **options: Any) -> Report:
    """The report of a repair of all the rules."""
    with known(*by, **options) as made:
        report = repair([(rule, "relink") for rule in made], dry_run=dry_run, keys=keys)
    errors = [rule.error for rule in report.rules if rule.error]
    assert not errors, errors
    return report


def outcomes(report: Report) -> dict[str, int]:
    """Rows by what became of them, over all rules."""
    total: dict[str, int] = {}
    for rule in report.rules:
        assert not rule.error, rule.error
        for outcome, count in rule.outcomes.items():
            total[outcome] = total.get(outcome, 0) + count
    return total


def why(report: Report, old: int) -> str:
    """The evidence that is reported for an id that was left."""
    return next(left.why for rule in report.rules for left in rule.undecided if left.value == old)


def make_team(id: int | None, series: str, *, town: str = "Tennaqua", league: str = "APTA") -> toy.Team:
    parts = {
        "town": toy.Town.objects.get_or_create(name=town)[0],
        "series": toy.Series.objects.get_or_create(name=series)[0],
        "league": toy.League.objects.get_or_create(code=league)[0],
    }
    return toy.Team.objects.create(id=id, **parts)


def make_key(old: int, series: str, *, town: str | None = "Tennaqua", league: str = "APTA") -> toy.TeamKey:
    return toy.TeamKey.objects.create(team_id=old, town=town, series=series, league=league)


def make_moved(shift: int, *olds: int) -> None:
    """Teams of which the import knows the old and the new id."""
    for old in olds:
        make_team(old + shift, f"Series {old}")
        make_key(old, f"Series {old}")


def make_person(*teams: toy.Team, primary: toy.Team | None = None) -> Person:
    person = Person.objects.create(name=f"player {next(_names)}")
    for team in teams:
        toy.Membership.objects.create(person=person, team=team, is_primary=team == primary)
    return person


def make_poll(old: int, question: str = "Who can play?", author: Person | None = None) -> toy.Poll:
    return toy.Poll.objects.create(team_id=old, question=question, author=author)


def make_message(old: int, text: str | None = "See you there", captain: Person | None = None) -> toy.Message:
    return toy.Message.objects.create(team_id=old, text=text, captain=captain)


def links(*rows: Any) -> list[int | None]:
    """The teams that rows refer to now."""
    for row in rows:
        row.refresh_from_db()
    return [row.team_id for row in rows]
