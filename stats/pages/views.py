"""The dashboard of one's own core stats. Whose it is says the session: no address and no form names a user."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from stats.changing import change
from stats.chart import chart
from stats.columns import EXPERIENCE, HIGHEST, POINTS_PER_LEVEL, STATS
from stats.exceptions import Invalid
from stats.models import CoreStat, StatHistory
from stats.pages.forms import NAMES, ChangeForm
from stats.reading import stats_of

LINES, DRAWN = 20, 200
"""Lines of the history in the table, and in the chart."""
View = Callable[..., HttpResponse]


class SignIn(LoginView):
    """For everybody with an account."""

    template_name = "stats/login.html"
    next_page = "stats:dashboard"
    redirect_authenticated_user = True


def for_oneself(view: View) -> View:
    """Somebody is signed in, and nothing is kept by a browser."""

    @never_cache
    @login_required(login_url="stats:login")
    @wraps(view)
    def shown(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return view(request, *args, **kwargs)

    return shown


@require_http_methods(["GET", "HEAD", "POST"])
@for_oneself
def dashboard(request: HttpRequest) -> HttpResponse:
    """The stats, one of them over time, and the form that changes them."""
    shown = request.GET.get("stat", "")
    shown = shown if shown in NAMES else STATS[0]
    form = ChangeForm(request.POST or None, initial={"stat": shown})
    if request.method == "POST" and form.is_valid() and _changed(request, form):
        messages.success(request, f"{NAMES[form.cleaned_data['stat']]} is {form.cleaned_data['value']:,} now.")
        return redirect(f"{reverse('stats:dashboard')}?stat={form.cleaned_data['stat']}")
    found = stats_of(request.user)
    history = StatHistory.objects.filter(user=request.user.pk)
    drawn = list(history.filter(stat=shown).order_by("-id")[:DRAWN])[::-1]
    most = max((line.new for line in drawn), default=0) if shown == EXPERIENCE else HIGHEST
    context = {
        "found": found,
        "stats": [(stat, NAMES[stat], getattr(found, stat)) for stat in STATS],
        "names": NAMES,
        "shown": shown,
        "shown_name": NAMES[shown],
        "to_next": found.level * POINTS_PER_LEVEL - found.experience_points,
        "chart": chart(drawn, timezone.now(), most),
        "history": history.order_by("-id")[:LINES],
        "form": form,
    }
    return render(request, "stats/dashboard.html", context, status=400 if form.errors else 200)


def _changed(request: HttpRequest, form: ChangeForm) -> CoreStat | None:
    """The stats as they are now; None where the verb refuses, which the form says."""
    asked = form.cleaned_data
    try:
        return change(
            request.user, {asked["stat"]: asked["value"]}, by=request.user.get_username(), reason=asked["reason"]
        )
    except Invalid as error:
        form.refuse(error)
        return None
