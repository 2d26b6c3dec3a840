"""The web service: one's own core stats, and nobody else's. Whose they are says the session, never the request."""

from django.http import HttpRequest
from ninja import Router

from config.problems import WAIT, refusals
from stats.changing import change
from stats.models import CoreStat
from stats.reading import stats_of
from stats.schemas import ChangeIn, StatsOut

router = Router(tags=["stats"])

REFUSED = refusals(401, 403)
REFUSED_BODY = refusals(400, 401, 403, 413, 415)


@router.get("/me", response={200: StatsOut} | REFUSED, summary="My core stats", openapi_extra=WAIT)
def show_mine(request: HttpRequest) -> CoreStat:
    """The six stats, experience and level."""
    return stats_of(request.auth)  # type: ignore[attr-defined]


@router.patch("/me", response={200: StatsOut} | REFUSED_BODY, summary="Change my core stats", openapi_extra=WAIT)
def change_mine(request: HttpRequest, body: ChangeIn) -> CoreStat:
    """Changes what is given; the level follows, and the history keeps the reason."""
    values = body.dict(exclude_unset=True)
    reason = values.pop("reason")
    user = request.auth  # type: ignore[attr-defined]
    return change(user, values, by=user.get_username(), reason=reason)
