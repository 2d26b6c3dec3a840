"""Who sees what. Members see what belongs to their teams; authors see their own, also when its team is gone.

A viewer without a user is a program with a global key: it sees everything and owns nothing.
"""

from dataclasses import dataclass
from typing import Any, TypeVar

from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db.models import Exists, Model, OuterRef, Q, QuerySet

from teams.exceptions import Forbidden, Unknown
from teams.models import CaptainMessage, Poll, PracticeTime, Team, TeamMembership

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True)
class Viewer:
    """Who asks: a member, staff who may view a model (`views`), or a program."""

    user: Any = None
    views: frozenset[type[Model]] = frozenset()

    @classmethod
    def of(cls, user: "AbstractBaseUser | AnonymousUser") -> "Viewer":
        """A person who is signed in."""
        may: Any = user
        seen = [
            m
            for m in (Poll, CaptainMessage, PracticeTime)
            if may.is_staff and may.has_perm(f"teams.view_{m._meta.model_name}")
        ]
        return cls(user, frozenset(seen))

    def require_person(self) -> Any:
        """The user. Raises Forbidden for a program."""
        if self.user is None:
            raise Forbidden("A key speaks for nobody: sign in to do this.")
        return self.user

    def sees_all(self, model: type[Model]) -> bool:
        """Whether nothing of this model is hidden."""
        return self.user is None or model in self.views


PROGRAM = Viewer()


def own_teams(viewer: Viewer) -> "QuerySet[TeamMembership]":
    """The viewer's memberships, the team meant first before the others."""
    memberships = TeamMembership.objects.filter(user=viewer.user).select_related(
        "team__club", "team__series", "team__league"
    )
    return memberships.order_by("-is_primary", "team__name", "team_id")


def is_member(viewer: Viewer, team: int | None, **also: bool) -> bool:
    """Whether the viewer belongs to a team; `is_captain=True` asks for more."""
    return TeamMembership.objects.filter(user=viewer.user, team=team, **also).exists()


def visible_polls(viewer: Viewer) -> "QuerySet[Poll]":
    """Polls, the newest first."""
    return _visible(Poll.objects.all(), viewer, Q(created_by=viewer.user)).order_by("-created_at", "-id")


def visible_messages(viewer: Viewer) -> "QuerySet[CaptainMessage]":
    """Messages, the newest first."""
    return _visible(CaptainMessage.objects.all(), viewer, Q(captain=viewer.user)).order_by("-created_at", "-id")


def visible_practice_times(viewer: Viewer) -> "QuerySet[PracticeTime]":
    """Practice times in the order of the week."""
    seen = _visible(PracticeTime.objects.all(), viewer, Q(pk__in=[]))
    return seen.order_by("day_of_week", "start_time", "id")


def _visible(rows: "QuerySet[Row]", viewer: Viewer, own: Q) -> "QuerySet[Row]":
    if viewer.sees_all(rows.model):
        return rows
    # Memberships are asked, and not teams: a number that leads nowhere has no member.
    member = TeamMembership.objects.filter(team=OuterRef("team_id"), user=viewer.user)
    return rows.filter(Exists(member) | own)


def find_team(team: int, field: str = "team_id") -> Team:
    """A team. Raises Unknown."""
    found = Team.objects.select_related("club", "series", "league").filter(pk=team).first()
    if found is None:
        raise Unknown(f"There is no team {team}.", field)
    return found
