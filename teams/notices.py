"""What captains say and set: messages to the team, and when it practises."""

from datetime import time

from django.db import IntegrityError, transaction

from teams.exceptions import Conflict, Forbidden, Invalid, Unknown
from teams.models import CaptainMessage, PracticeTime, Team
from teams.seeing import Viewer, find_team, is_member, visible_practice_times


def tell(viewer: Viewer, team: int, message: str) -> CaptainMessage:
    """A message to the whole team. Raises Unknown and Forbidden."""
    user = viewer.require_person()
    _team_of_captain(viewer, team, "write to it")
    return CaptainMessage.objects.create(team_id=team, captain=user, message=message.strip())


def add_practice_time(
    viewer: Viewer, team: int, day_of_week: int, start: time, end: time | None = None, location: str = ""
) -> PracticeTime:
    """A time of each week. Raises Unknown, Forbidden, Invalid and Conflict."""
    found = _team_of_captain(viewer, team, "set its practice times")
    if end is not None and end <= start:
        raise Invalid("Give an end after the start.", "end_time")
    try:
        # In a block of its own, so that the refusal leaves the caller's transaction alive.
        with transaction.atomic():
            return PracticeTime.objects.create(
                team=found,
                day_of_week=day_of_week,
                start_time=start,
                end_time=end,
                location=location.strip(),
                league_id=found.league_id,
            )
    except IntegrityError as error:
        raise Conflict("The team practises there at this time already.") from error


def remove_practice_time(viewer: Viewer, practice_time: int) -> None:
    """Take a time out of the week. Raises Unknown and Forbidden."""
    viewer.require_person()
    found = visible_practice_times(viewer).filter(pk=practice_time).first()
    if found is None:
        raise Unknown(f"There is no practice time {practice_time}.", "practice_time_id")
    if not is_member(viewer, found.team_id, is_captain=True):
        raise Forbidden("Only captains of its team remove a practice time.")
    found.delete()


def _team_of_captain(viewer: Viewer, team: int, to_do: str) -> Team:
    viewer.require_person()
    found = find_team(team)
    if not is_member(viewer, team, is_captain=True):
        raise Forbidden(f"Only captains of team {team} {to_do}.", "team_id")
    return found
