"""The pages of members. Each reads what its viewer sees, and calls one verb for what is sent."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.db.models import QuerySet
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from teams import notices, polls
from teams.exceptions import TeamsError
from teams.models import Team, TeamMembership
from teams.pages.forms import Ask, Tell, refuse
from teams.seeing import (
    Viewer,
    find_team,
    is_member,
    own_teams,
    visible_messages,
    visible_polls,
    visible_practice_times,
)

POLLS, MESSAGES, MANY = 20, 20, 200
"""Entries of a page; `?all=1` shows more messages."""
INT8 = 2**63 - 1
View = Callable[..., HttpResponse]


class SignIn(LoginView):
    """For members; staff have the administration's own."""

    template_name = "teams/login.html"
    next_page = "teams:home"
    redirect_authenticated_user = True


def for_members(view: View) -> View:
    """What every page shares: somebody is signed in, and nothing is kept by a browser."""

    @never_cache
    @login_required(login_url="teams:login")
    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, viewer=Viewer.of(request.user), **kwargs)

    return shown


@require_safe
@for_members
def home(request: HttpRequest, *, viewer: Viewer) -> HttpResponse:
    """All teams of a member together."""
    context = _entries(request, viewer) | {"memberships": own_teams(viewer)}
    return render(request, "teams/home.html", context)


@require_safe
@for_members
def team_page(request: HttpRequest, team: int, *, viewer: Viewer) -> HttpResponse:
    """One team."""
    return _team(request, viewer, _own_team(viewer, team))


@require_POST
@for_members
def ask_page(request: HttpRequest, team: int, *, viewer: Viewer) -> HttpResponse:
    """A question to the team."""
    found, form = _own_team(viewer, team), Ask(request.POST)
    if _done(form, lambda asked: polls.ask(viewer, team, asked["question"], asked["choices"])):
        messages.success(request, "The team is asked.")
        return redirect("teams:team", team)
    return _team(request, viewer, found, ask=form)


@require_POST
@for_members
def tell_page(request: HttpRequest, team: int, *, viewer: Viewer) -> HttpResponse:
    """A captain's message."""
    found, form = _own_team(viewer, team), Tell(request.POST)
    if _done(form, lambda told: notices.tell(viewer, team, told["message"])):
        messages.success(request, "The team is told.")
        return redirect("teams:team", team)
    return _team(request, viewer, found, tell=form)


@require_POST
@for_members
def vote_page(request: HttpRequest, poll: int, *, viewer: Viewer) -> HttpResponse:
    """Choose an answer; the one that was chosen before is taken back."""
    chosen = request.POST.get("choice", "")
    try:
        before = polls.find_poll(viewer, _number(str(poll)))
        mine = {str(choice.pk) for choice in before.choices.all() if getattr(choice, "mine", False)}
        if chosen in mine:
            polls.withdraw(viewer, poll)
        else:
            polls.vote(viewer, poll, _number(chosen))
    except TeamsError as error:
        messages.error(request, str(error))
    back = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(back, {request.get_host()}, require_https=request.is_secure()):
        return redirect(f"{back}#poll-{poll}")
    return redirect("teams:home")


def _number(text: str) -> int:
    """A number that a row can have, or 0, which none has."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= INT8 else 0


def _own_team(viewer: Viewer, team: int) -> Team:
    """A team that the viewer belongs to; any other one is not found."""
    if not is_member(viewer, _number(str(team))):
        raise Http404(f"There is no team {team} of yours.")
    return find_team(team)


def _done(form: Form, verb: Callable[[dict[str, Any]], object]) -> bool:
    """Whether a form was right and its verb carried out; the form says what was wrong."""
    if not form.is_valid():
        return False
    try:
        verb(form.cleaned_data)
    except TeamsError as error:
        refuse(form, error)
        return False
    return True


def _team(request: HttpRequest, viewer: Viewer, team: Team, **forms: Form) -> HttpResponse:
    members = TeamMembership.objects.filter(team=team).select_related("user").order_by("-is_captain", "user__username")
    context = {
        "team": team,
        "members": members,
        "is_captain": any(one.is_captain and one.user_id == request.user.pk for one in members),
        "ask": forms.get("ask", Ask()),
        "tell": forms.get("tell", Tell()),
        **_entries(request, viewer, team),
    }
    return render(request, "teams/team.html", context, status=400 if forms else 200)


def _entries(request: HttpRequest, viewer: Viewer, team: Team | None = None) -> dict[str, Any]:
    """What is asked, told and practised, of all own teams or of one."""

    def of_team(rows: "QuerySet[Any]") -> "QuerySet[Any]":
        return rows if team is None else rows.filter(team=team)

    own = Viewer(viewer.user)
    shown = MANY if request.GET.get("all") == "1" else MESSAGES
    told = list(of_team(visible_messages(own)).prefetch_related("team", "captain")[: shown + 1])
    return {
        "polls": polls.with_answers(of_team(visible_polls(own)), own)[:POLLS],
        "notices": told[:shown],
        "more_notices": shown == MESSAGES and len(told) > shown,
        "practice_times": of_team(visible_practice_times(own)).prefetch_related("team"),
    }
