"""The web service: bikes report to it, pages and programs read from it. Each view calls one verb."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any, TypeVar, cast

from django.http import HttpRequest
from ninja import Header, Path, Query, Router
from ninja.security import APIKeyHeader

from config.fields import INT8, Text
from config.problems import WAIT, refusals
from players import limits
from players.exceptions import NoKey, WrongKey
from players.keys import HEADER, check_key
from players.leaderboard import Leaderboard, leaderboard
from players.models import ApiKey
from players.profiles import Profile, profile
from players.recording import Answer, Report, update_data
from players.reports import Mileage, mileage, moment, time_zone
from players.schemas import (
    AnswerOut,
    LeaderboardIn,
    LeaderboardOut,
    MileageIn,
    MileageOut,
    ProfileOut,
    ReportIn,
)

View = TypeVar("View", bound=Callable[..., Any])
PUBLIC = "Public: no key is needed, as the pages that show the same are public. Hidden players and groups are left out."


class Key(APIKeyHeader):
    """A key of the device that reports, or a global one."""

    param_name = HEADER
    openapi_description = "A key of the device that reports, or of all bikes, made in the administration."

    def authenticate(self, request: HttpRequest, key: str | None) -> ApiKey:
        """Requests with a valid key count for the key, all others for their address."""
        try:
            record = check_key(key)
        except (NoKey, WrongKey):
            _count_address(request)
            raise
        limits.count_key(record.prefix)
        return record


def limited_by_address(view: View) -> View:
    """Count each request for its address."""

    @wraps(view)
    def counted(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        _count_address(request)
        return view(request, *args, **kwargs)

    return cast("View", counted)


def _count_address(request: HttpRequest) -> None:
    limits.count_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


router = Router()
READ_ERRORS = refusals(404)


@router.post(
    "/update_data",
    auth=Key(),
    tags=["bikes"],
    summary="Report a distance",
    response={200: AnswerOut} | refusals(400, 401, 403, 404, 409, 413, 415),
    exclude_none=True,
    openapi_extra=WAIT,
)
def report_distance(
    request: HttpRequest,
    report: ReportIn,
    idempotency_key: Annotated[
        Text | None,
        Header(
            alias="Idempotency-Key",
            min_length=1,
            max_length=200,
            description="The same key with the same report within 24 hours returns the first answer, moves nothing.",
        ),
    ] = None,
) -> Answer:
    """Adds what a bike has counted to its rider, to the running session and once to each group above.

    A device key serves its own device; a global key serves all. Send an `Idempotency-Key`, a new one for each report,
    and repeat a report that got no answer with the same key until it gets one: it counts once.
    """
    key: ApiKey = request.auth  # type: ignore[attr-defined]
    return update_data(Report(report.id_tag, report.device_id, report.distance), key, idempotency_key)


@router.get(
    "/leaderboard",
    tags=["reads"],
    summary="Who has ridden most",
    description=f"Players and groups by current totals. Hidden ones are counted in the groups above. {PUBLIC}",
    response={200: LeaderboardOut} | READ_ERRORS,
    openapi_extra=WAIT,
)
@limited_by_address
def show_leaderboard(request: HttpRequest, query: Query[LeaderboardIn]) -> Leaderboard:
    """The current totals."""
    return leaderboard(query.group, query.limit, offset=query.offset)


@router.get(
    "/reports/mileage",
    tags=["reads"],
    summary="How far was ridden when",
    description=(
        "History from `from` up to, and without, `to`, by the hour, day, week or month of the local clock of `tz`; "
        "an hour of history belongs to the bucket in which it begins. What is in flight is not in history yet. "
        f"{PUBLIC} What hidden players have ridden is in the sums."
    ),
    response={200: MileageOut} | READ_ERRORS,
    openapi_extra=WAIT,
)
@limited_by_address
def show_mileage(request: HttpRequest, query: Query[MileageIn]) -> Mileage:
    """A report over time."""
    zone = time_zone(query.tz)
    start, end = moment(query.from_, zone, "from"), moment(query.to, zone, "to")
    return mileage(start, end, query.bucket, query.group, zone)


@router.get(
    "/players/{player_id}",
    tags=["reads"],
    summary="One player",
    description=f"A visible player with its total. {PUBLIC}",
    response={200: ProfileOut} | READ_ERRORS,
    openapi_extra=WAIT,
)
@limited_by_address
def show_player(request: HttpRequest, player_id: Annotated[int, Path(ge=1, le=INT8)]) -> Profile:
    """One player."""
    return profile(player_id)
