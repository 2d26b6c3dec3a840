"""Where a team is pointed at, and what makes a number that leads somewhere suspect all the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, CharField, Exists, F, Model, OuterRef, Q, QuerySet, Value, When

from teams.models import CaptainMessage, Match, Poll, PracticeTime, Team, TeamKey, TeamMembership


@dataclass(frozen=True)
class Pointer:
    """A column that holds the number of a team.

    rule: what says that it must lead to one. author: the path to who wrote the row, empty where the provider did.
    unresolved: which rows without a number lack one that they should have; None for all.
    """

    rule: str
    model: type[Model]
    field: str
    author: str = ""
    unresolved: Q | None = None
    league: str = ""
    written_at: str = ""

    @property
    def column(self) -> str:
        """The name of the stored number."""
        return f"{self.field}_id"

    @property
    def table(self) -> str:
        """The name of its table."""
        return self.model._meta.db_table

    @property
    def rows(self) -> "QuerySet[Any]":
        """All rows."""
        rows: QuerySet[Any] = self.model._base_manager.order_by()
        return rows

    @property
    def there(self) -> Exists:
        """That the number leads to a team."""
        return Exists(Team.objects.filter(pk=OuterRef(self.column)))

    def dangling(self) -> "QuerySet[Any]":
        """Rows whose number leads nowhere."""
        return self.rows.filter(~self.there, **{f"{self.column}__isnull": False})

    def without(self) -> "QuerySet[Any]":
        """Rows without a number that should have one."""
        return self.rows.filter(self.unresolved or Q(), **{f"{self.column}__isnull": True})

    def suspects(self) -> "QuerySet[Any]":
        """Rows whose number leads to a team that is hardly meant, with `why` and the name of the `team_name`."""
        reasons = self._reasons()
        why = Case(*(When(reason, then=Value(said)) for said, reason in reasons.items()), output_field=CharField())
        there: QuerySet[Any] = self.rows.filter(self.there).annotate(why=why, team_name=F(f"{self.field}__name"))
        return there.filter(why__isnull=False)

    def _reasons(self) -> Mapping[str, Any]:
        """What speaks against the team, by the words that say so."""
        today = Team.objects.filter(
            pk=OuterRef("team_id"),
            league__league_id=OuterRef("league"),
            club__name=OuterRef("club"),
            series__name=OuterRef("series"),
        )
        keys = TeamKey.objects.filter(team_id=OuterRef(self.column))
        stood_for_another: Any = Exists(keys.filter(~Exists(today)))
        if self.written_at:
            stood_for_another &= ~Exists(keys.filter(Exists(today), since__lte=OuterRef(self.written_at)))
        reasons: dict[str, Any] = {"the number stood for another team": stood_for_another}
        if self.league:
            same = Team.objects.filter(pk=OuterRef(self.column), league=OuterRef(self.league))
            reasons["the team is of another league"] = ~Exists(same)
        if self.author:
            of_team = TeamMembership.objects.filter(team=OuterRef(self.column), user=OuterRef(self.author))
            reasons["its author does not belong to the team"] = ~Exists(of_team)
        return reasons


POINTERS = (
    Pointer("teams.poll_has_its_team", Poll, "team", author="created_by", written_at="created_at"),
    Pointer("teams.message_has_its_team", CaptainMessage, "team", author="captain", written_at="created_at"),
    Pointer("teams.practice_time_has_its_team", PracticeTime, "team", league="league", written_at="created_at"),
    Pointer("teams.home_team_is_there", Match, "home_team", unresolved=~Q(home_text=""), league="league"),
    Pointer("teams.away_team_is_there", Match, "away_team", unresolved=~Q(away_text=""), league="league"),
)
