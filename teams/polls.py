"""Polls: a member asks the team, the team answers, whoever asked closes it."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Count, Prefetch, Q, QuerySet
from django.utils import timezone

from teams.exceptions import Conflict, Forbidden, Invalid, Unknown
from teams.models import Poll, PollChoice, PollResponse
from teams.seeing import Viewer, find_team, is_member, visible_polls

MOST_CHOICES = 20


def ask(viewer: Viewer, team: int, question: str, choices: Sequence[str]) -> Poll:
    """A new poll of a team that the viewer belongs to. Raises Unknown, Forbidden and Invalid."""
    user = viewer.require_person()
    find_team(team)
    if not is_member(viewer, team):
        raise Forbidden(f"Only members of team {team} ask it.", "team_id")
    if len({text.strip().casefold() for text in choices}) < len(choices):
        raise Invalid("Two choices are the same: give each once.", "choices")
    # A poll without its choices could not be answered.
    with transaction.atomic():
        poll = Poll.objects.create(team_id=team, created_by=user, question=question.strip())
        PollChoice.objects.bulk_create(
            PollChoice(poll=poll, text=text.strip(), position=position) for position, text in enumerate(choices, 1)
        )
    return find_poll(viewer, poll.pk)


def vote(viewer: Viewer, poll: int, choice: int) -> Poll:
    """Answer, or answer otherwise than before. Raises Unknown, Forbidden and Conflict."""
    user = viewer.require_person()
    # Locked against a poll that is being closed, so that no vote is counted after the end.
    with transaction.atomic():
        _open_poll(viewer, poll)
        if not PollChoice.objects.filter(pk=choice, poll=poll).exists():
            raise Unknown(f"Poll {poll} has no choice {choice}.", "choice_id")
        PollResponse.objects.bulk_create(
            [PollResponse(poll_id=poll, choice_id=choice, user=user)],
            update_conflicts=True,
            unique_fields=["poll", "user"],
            update_fields=["choice"],
        )
    return find_poll(viewer, poll)


def withdraw(viewer: Viewer, poll: int) -> Poll:
    """Take the own answer back, where there is one. Raises Unknown, Forbidden and Conflict."""
    user = viewer.require_person()
    with transaction.atomic():
        _open_poll(viewer, poll)
        PollResponse.objects.filter(poll=poll, user=user).delete()
    return find_poll(viewer, poll)


def close(viewer: Viewer, poll: int) -> Poll:
    """End a poll that the viewer asked. Closing it again changes nothing. Raises Unknown and Forbidden."""
    user = viewer.require_person()
    found = find_poll(viewer, poll)
    if found.created_by_id != user.pk:
        raise Forbidden("Only who asked closes a poll.")
    Poll.objects.filter(pk=poll, closed_at=None).update(closed_at=timezone.now())
    return find_poll(viewer, poll)


def find_poll(viewer: Viewer, poll: int) -> Poll:
    """A poll that the viewer sees, as `with_answers` gives it. Raises Unknown."""
    found = with_answers(visible_polls(viewer).filter(pk=poll), viewer).first()
    if found is None:
        raise Unknown(f"There is no poll {poll}.", "poll_id")
    return found


def with_answers(polls: "QuerySet[Poll]", viewer: Viewer) -> "QuerySet[Poll]":
    """With choices in order, each with `votes` and whether it is `mine`, whatever the number of polls."""
    mine = Count("responses", filter=Q(responses__user=viewer.user))
    choices: Any = PollChoice.objects.annotate(votes=Count("responses"), mine=mine).order_by("position", "id")
    return polls.prefetch_related("team", "created_by", Prefetch("choices", choices))


def _open_poll(viewer: Viewer, poll: int) -> Poll:
    """A poll that the viewer may answer now, locked."""
    found = visible_polls(viewer).select_for_update().filter(pk=poll).first()
    if found is None:
        raise Unknown(f"There is no poll {poll}.", "poll_id")
    if not is_member(viewer, found.team_id):
        raise Forbidden("Only members of its team answer a poll.")
    if found.closed_at is not None:
        raise Conflict("The poll is closed.")
    return found
