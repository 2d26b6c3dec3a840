"""The web service: leagues, teams, and the polls, messages and practice times of one's own teams.

Who asks is settled where the router is mounted; `request.auth` is the viewer. Each view calls one verb.
"""

from typing import Annotated, Any

from django.db.models import QuerySet
from django.http import HttpRequest
from ninja import Path, Query, Router, Status

from config.fields import Id, PageIn
from config.problems import WAIT, refusals
from teams import notices, polls
from teams.models import CaptainMessage, League, Poll, PracticeTime, Team
from teams.schemas import (
    LeaguesOut,
    MessageIn,
    MessageOut,
    MessagesOut,
    OfTeamIn,
    PollIn,
    PollOut,
    PollsOut,
    PracticeTimeIn,
    PracticeTimeOut,
    PracticeTimesOut,
    TeamOut,
    TeamsIn,
    TeamsOut,
    VoteIn,
)
from teams.seeing import Viewer, find_team, visible_messages, visible_polls, visible_practice_times

router = Router(tags=["teams"])

SHOWN = refusals(401, 403)
FOUND = refusals(401, 403, 404)
WRITTEN = refusals(400, 401, 403, 404, 409, 413, 415)
CHANGED = refusals(401, 403, 404, 409)
PollId = Annotated[Id, Path(description="The number of the poll.")]
TeamId = Annotated[Id, Path(description="The number of the team.")]


def _viewer(request: HttpRequest) -> Viewer:
    viewer: Viewer = request.auth  # type: ignore[attr-defined]
    return viewer


def _page(rows: "QuerySet[Any]", page: PageIn, name: str) -> dict[str, Any]:
    found = list(rows[page.offset : page.offset + page.limit + 1])
    return {name: found[: page.limit], "next_offset": page.next_after(len(found))}


def _of_team(rows: "QuerySet[Any]", asked: OfTeamIn) -> "QuerySet[Any]":
    return rows if asked.team is None else rows.filter(team=asked.team)


# Leagues and teams


@router.get("/leagues", response={200: LeaguesOut} | SHOWN, summary="The leagues", openapi_extra=WAIT)
def list_leagues(request: HttpRequest, page: Query[PageIn]) -> dict[str, Any]:
    """All leagues, by name."""
    return _page(League.objects.order_by("name", "pk"), page, "leagues")


@router.get("", response={200: TeamsOut} | SHOWN, summary="The teams", openapi_extra=WAIT)
def list_teams(request: HttpRequest, asked: Query[TeamsIn]) -> dict[str, Any]:
    """Teams by name; of a league, or your own."""
    rows = Team.objects.select_related("club", "series", "league").order_by("name", "pk")
    if asked.active:
        rows = rows.filter(is_active=True)
    if asked.league is not None:
        rows = rows.filter(league=asked.league)
    if asked.mine:
        rows = rows.filter(memberships__user=_viewer(request).require_person())
    return _page(rows, asked, "teams")


# Polls


@router.get("/polls", response={200: PollsOut} | SHOWN, summary="The polls that you see", openapi_extra=WAIT)
def list_polls(request: HttpRequest, asked: Query[OfTeamIn]) -> dict[str, Any]:
    """Polls of your teams and those that you asked, the newest first."""
    viewer = _viewer(request)
    return _page(polls.with_answers(_of_team(visible_polls(viewer), asked), viewer), asked, "polls")


@router.post("/polls", response={201: PollOut} | WRITTEN, summary="Ask a team", openapi_extra=WAIT)
def ask(request: HttpRequest, body: PollIn) -> Status[Poll]:
    """A new poll for a team that you belong to."""
    return Status(201, polls.ask(_viewer(request), body.team_id, body.question, body.choices))


@router.get("/polls/{poll_id}", response={200: PollOut} | FOUND, summary="One poll", openapi_extra=WAIT)
def show_poll(request: HttpRequest, poll_id: PollId) -> Poll:
    """A poll with its answers so far."""
    return polls.find_poll(_viewer(request), poll_id)


@router.post("/polls/{poll_id}/vote", response={200: PollOut} | WRITTEN, summary="Vote", openapi_extra=WAIT)
def vote(request: HttpRequest, poll_id: PollId, body: VoteIn) -> Poll:
    """Choose one answer, or another one than before."""
    return polls.vote(_viewer(request), poll_id, body.choice_id)


@router.delete("/polls/{poll_id}/vote", response={200: PollOut} | CHANGED, summary="Unvote", openapi_extra=WAIT)
def withdraw(request: HttpRequest, poll_id: PollId) -> Poll:
    """Take your answer back, where there is one."""
    return polls.withdraw(_viewer(request), poll_id)


@router.post("/polls/{poll_id}/close", response={200: PollOut} | CHANGED, summary="Close a poll", openapi_extra=WAIT)
def close(request: HttpRequest, poll_id: PollId) -> Poll:
    """End a poll that you asked; nobody votes any more."""
    return polls.close(_viewer(request), poll_id)


# Messages


@router.get("/messages", response={200: MessagesOut} | SHOWN, summary="The messages that you see", openapi_extra=WAIT)
def list_messages(request: HttpRequest, asked: Query[OfTeamIn]) -> dict[str, Any]:
    """Messages of the captains of your teams, and your own, the newest first."""
    rows = visible_messages(_viewer(request)).prefetch_related("team", "captain")
    return _page(_of_team(rows, asked), asked, "messages")


@router.post("/messages", response={201: MessageOut} | WRITTEN, summary="Tell a team", openapi_extra=WAIT)
def tell(request: HttpRequest, body: MessageIn) -> Status[CaptainMessage]:
    """A message to a team that you are captain of."""
    return Status(201, notices.tell(_viewer(request), body.team_id, body.message))


# Practice times


@router.get("/practice-times", response={200: PracticeTimesOut} | SHOWN, summary="The week", openapi_extra=WAIT)
def list_practice_times(request: HttpRequest, asked: Query[OfTeamIn]) -> dict[str, Any]:
    """When and where your teams practise, in the order of the week."""
    rows = visible_practice_times(_viewer(request)).prefetch_related("team")
    return _page(_of_team(rows, asked), asked, "practice_times")


@router.post(
    "/practice-times", response={201: PracticeTimeOut} | WRITTEN, summary="Add a practice time", openapi_extra=WAIT
)
def add_practice_time(request: HttpRequest, body: PracticeTimeIn) -> Status[PracticeTime]:
    """A time of each week, of a team that you are captain of."""
    return Status(
        201,
        notices.add_practice_time(
            _viewer(request), body.team_id, body.day_of_week, body.start_time, body.end_time, body.location
        ),
    )


@router.delete(
    "/practice-times/{practice_time_id}",
    response={204: None} | FOUND,
    summary="Remove a practice time",
    openapi_extra=WAIT,
)
def remove_practice_time(
    request: HttpRequest, practice_time_id: Annotated[Id, Path(description="The number of the practice time.")]
) -> Status[None]:
    """Take a time out of the week of a team that you are captain of."""
    notices.remove_practice_time(_viewer(request), practice_time_id)
    return Status(204, None)


# Last, as its path fits every word


@router.get("/{team_id}", response={200: TeamOut} | FOUND, summary="One team", openapi_extra=WAIT)
def show_team(request: HttpRequest, team_id: TeamId) -> Team:
    """A team by its number of today."""
    return find_team(team_id)
