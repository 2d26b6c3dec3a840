"""The public pages. They only read; one that is the same as before is answered with 304, so following it is cheap."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any

from django.conf import settings
from django.db.models import Prefetch
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import cache_control
from django.views.decorators.http import conditional_page, require_safe

from players.exceptions import Unknown
from players.leaderboard import leaderboard
from players.models import Group, Player
from players.outline import Line, outline
from players.pages.chart import chart, span
from players.pages.forms import USUAL_DAYS, ZONES, ReportForm
from players.reports import Bucket, Mileage, local_midnight, mileage, time_zone

View = Callable[..., HttpResponse]
LINES = 25
"""Players, and groups, on a leaderboard; `?all=1` shows more of them."""
MANY_LINES = 1_000
# How often a page asks whether something has moved, in seconds. A report reads more, and changes as rides are saved.
FOLLOW_SECONDS = 4
FOLLOW_REPORT_SECONDS = 15
PLAYER_DAYS = USUAL_DAYS | {Bucket.DAY: 30}


def page(view: View) -> View:
    """What every page shares: reading only, asked again each time, 304 when it is the same as before."""

    @require_safe
    @cache_control(no_cache=True, private=True)
    @conditional_page
    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs)

    return shown


@page
def leaderboard_page(request: HttpRequest, group: int | None = None) -> HttpResponse:
    """The highest totals, of everybody or of a group."""
    shown = MANY_LINES if request.GET.get("all") == "1" else LINES
    try:
        board = leaderboard(group, shown)
    except Unknown as error:
        raise Http404(str(error)) from error
    lines = outline(visible_only=True)
    groups = _ranked([line for line in lines.values() if line.parent == group])
    context = {
        "board": board,
        "groups": groups[:shown],
        "line": lines.get(group) if group else None,
        "most": board.players[0].distance_total if board.players else None,
        "most_of_groups": groups[0][1].distance_total if groups else None,
        "may_have_more": shown == LINES and max(len(board.players), len(groups)) >= LINES,
        "follow": FOLLOW_SECONDS,
    }
    return render(request, "players/leaderboard.html", context)


def _ranked(groups: list[Line]) -> list[tuple[int, Line]]:
    """The groups of one level, the highest first; equal totals share a rank."""
    groups.sort(key=lambda line: (-line.distance_total, line.id))
    totals = [line.distance_total for line in groups]
    return [(totals.index(line.distance_total) + 1, line) for line in groups]


@page
def report_page(request: HttpRequest) -> HttpResponse:
    """How far was ridden when, as a chart and as figures."""
    now = timezone.now()
    groups = outline(visible_only=True)
    form = ReportForm(request.GET, groups, now)
    context: dict[str, Any] = {"form": form, "zones": ZONES}
    if not form.is_valid():
        return render(request, "players/report.html", context, status=400)
    asked = form.cleaned_data
    report = mileage(*form.interval(), asked["bucket"], asked["group"], asked["tz"])
    # What has passed is not followed: nothing is ridden there any more.
    context |= {
        "line": groups.get(asked["group"]),
        "follow": FOLLOW_REPORT_SECONDS if report.end > now else 0,
        **_drawn(report, now),
    }
    return render(request, "players/report.html", context)


@page
def player_page(request: HttpRequest, player: int) -> HttpResponse:
    """One visible player: the total, the groups, what is ridden now, and the history."""
    visible = Player.objects.filter(is_visible=True).select_related("open_session__device")
    shown_groups = Prefetch("groups", Group.objects.filter(is_visible=True).order_by("name"))
    found = get_object_or_404(visible.prefetch_related(shown_groups), pk=player)
    now = timezone.now()
    asked = request.GET.get("bucket", "")
    bucket = Bucket(asked) if asked in set(Bucket) else Bucket.DAY
    zone = time_zone(settings.TIME_ZONE)
    today = now.astimezone(zone).date()
    start = local_midnight(today - timedelta(days=PLAYER_DAYS[bucket] - 1), zone)
    report = mileage(start, local_midnight(today + timedelta(days=1), zone), bucket, tz=zone, player=found.pk)
    session = getattr(found, "open_session", None)
    context = {
        "player": found,
        "session": session,
        "in_flight": session.distance_km - session.flushed_km if session else None,
        "buckets": list(Bucket),
        "bucket": bucket,
        "days": PLAYER_DAYS[bucket],
        "follow": FOLLOW_SECONDS,
        **_drawn(report, now),
    }
    return render(request, "players/player.html", context)


def _drawn(report: Mileage, now: datetime) -> dict[str, Any]:
    ridden = [row for row in report.rows if row.km]
    best = max(ridden, key=lambda row: row.km, default=None)
    return {
        "report": report,
        "chart": chart(report.rows, report.bucket, now),
        "figures": [(span(row, report.bucket), row.km) for row in reversed(ridden)],
        "best": best and (span(best, report.bucket), best.km),
    }
