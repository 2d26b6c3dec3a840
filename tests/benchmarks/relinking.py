"""The rules and steps by which the benchmarks relink what refers to teams that are gone."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import models

from integrity import Mapping, Named, Owned, References, Relink, Shift, Step
from integrity.registry import registry
from integrity.repair import repair
from teams.models import CaptainMessage, Poll, TeamMembership


class Kept(models.Model):
    """What the import kept: the natural key of some teams by their old numbers."""

    old = models.BigIntegerField(primary_key=True)
    club = models.TextField()
    series = models.TextField()
    league = models.TextField()

    class Meta:
        app_label = "benchmarks"
        db_table = "kept"
        managed = False


def mapping() -> Mapping:
    """By the natural key."""
    return Mapping(Kept, old="old", by={"club": "club__name", "series": "series__name", "league": "league__league_id"})


def steps(*, alone: bool) -> list[Step]:
    """Every kind of step. alone: texts and authors may decide by themselves."""
    return [
        mapping(),
        Shift(at_least=10),
        Named(
            {Poll: "question", CaptainMessage: "message"},
            names=["series__name"],
            narrowed_by=["club__name", "league__league_id"],
            alone=alone,
        ),
        Owned(
            {Poll: "created_by", CaptainMessage: "captain"},
            members=TeamMembership,
            user="user",
            target="team",
            primary="is_primary",
            within="league",
            alone=alone,
        ),
    ]


def rules(by: Sequence[Step]) -> list[References]:
    """A rule for polls and one for messages, which share a Relink."""
    relink = Relink(by=by)
    made = [
        References(Poll, "team", name="poll_of_the_benchmark", because="It is measured.", repairs={"relink": relink}),
        References(
            CaptainMessage,
            "team",
            name="message_of_the_benchmark",
            because="It is measured.",
            repairs={"relink": relink},
        ),
    ]
    for rule in made:
        rule.app = "benchmarks"
        assert rule.check() == [], rule.check()
    return made


def relink(by: Sequence[Step] | None = None, *, alone: bool = True) -> dict[str, int]:
    """Relink everything. Rows by what became of them."""
    made = rules(steps(alone=alone) if by is None else by)
    registry.register("benchmarks", made)
    try:
        report = repair([(rule, "relink") for rule in made], max_affected="100%")
    finally:
        registry.unregister(*(rule.label for rule in made))
    total: dict[str, int] = {}
    for rule in report.rules:
        assert not rule.error, rule.error
        for outcome, count in rule.outcomes.items():
            total[outcome] = total.get(outcome, 0) + count
    return total
