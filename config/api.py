"""The JSON API: one document, the routers of the apps, and the answers to errors."""

import json
from decimal import Decimal
from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Swagger
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from config.auth import GlobalKey, Member, Oneself, Reader, Staff
from config.problems import problem
from players.api import router as players
from players.exceptions import Malformed, TooLarge, WrongMediaType
from players.problems import STATUSES, explain
from stats.api import router as stats
from stats.exceptions import Invalid as InvalidStat
from teams.api import router as teams
from teams.exceptions import TeamsError
from vehicles.api import router as vehicles
from vehicles.exceptions import Invalid, Unknown, VehiclesError

LARGEST_BODY = 16_384
DESCRIPTION = """
Bikes report the distance that they count; leaderboards, reports and players are read here. So are vehicles with their
mileage, teams with what their members ask and tell each other, and everybody's own core stats.

Distances are kilometres with five places, written as text so that no reader rounds them. Errors have one form, and name
the field that is wrong. Requests are limited by the minute, for each key and, without a valid key, for each address:
status 429 says in `Retry-After` how many seconds to wait.
"""


class Json(Parser):
    """Bodies are JSON, say so, and are small. Numbers are exact: what is sent as 0.1 is not rounded to a float."""

    def parse_body(self, request: HttpRequest) -> Any:
        if request.content_type != "application/json":
            raise WrongMediaType("Send JSON, with Content-Type: application/json.", "Content-Type")
        if len(request.body) > LARGEST_BODY:
            raise _too_large()
        # NaN and Infinity are no JSON but often sent: as numbers they get an answer that names their field.
        try:
            return json.loads(request.body, parse_float=Decimal, parse_constant=Decimal)
        except (ValueError, RecursionError) as error:
            raise Malformed("The body is no JSON that can be read.", "body") from error


def _too_large() -> TooLarge:
    return TooLarge(f"A body has at most {LARGEST_BODY:,} bytes.")


api = NinjaAPI(
    title="Holdtrue",
    version="1",
    description=DESCRIPTION,
    parser=Json(),
    # The validator's badge would ask a foreign host; whatever the page needs is served from here.
    docs=Swagger({"validatorUrl": None}),
    docs_url="/docs",
)
api.add_router("", players)
api.add_router("/vehicles", vehicles, auth=[GlobalKey(), Staff("vehicles", "vehicle")])
api.add_router("/teams", teams, auth=[Reader(), Member()])
api.add_router("/stats", stats, auth=[Oneself()])


def answer(request: HttpRequest, error: Exception) -> HttpResponse:
    """The answer to an exception of the table in `players.problems`."""
    body, headers = explain(error)
    response = api.create_response(request, body, status=body["status"])
    for name, value in headers.items():
        response[name] = value
    return response


for kind in STATUSES:
    api.exception_handler(kind)(answer)


@api.exception_handler(Unknown)
@api.exception_handler(Invalid)
def refused(request: HttpRequest, error: VehiclesError) -> HttpResponse:
    """What a verb about vehicles refuses."""
    status = 404 if isinstance(error, Unknown) else 422
    fields = [(error.field, str(error))] if error.field else []
    return api.create_response(request, problem(status, str(error), fields), status=status)


@api.exception_handler(TeamsError)
def refused_to_a_member(request: HttpRequest, error: TeamsError) -> HttpResponse:
    """What a verb about teams refuses."""
    fields = [(error.field, str(error))] if error.field else []
    return api.create_response(request, problem(error.status, str(error), fields), status=error.status)


@api.exception_handler(InvalidStat)
def refused_stat(request: HttpRequest, error: InvalidStat) -> HttpResponse:
    """What the verb that changes core stats refuses."""
    fields = [(error.field, str(error))] if error.field else []
    return api.create_response(request, problem(422, str(error), fields), status=422)


@api.exception_handler(ValidationError)
def wrong_fields(request: HttpRequest, error: ValidationError) -> HttpResponse:
    """Every field that a schema refuses, by the name that the sender knows."""
    errors = [(_field(found), _message(found)) for found in error.errors]
    detail = " ".join(f"{field}: {message}" for field, message in errors)
    return api.create_response(request, problem(422, detail, errors), status=422)


@api.exception_handler(HttpError)
def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    """What the framework refuses; behind a body that it could not read may be one of our own refusals."""
    cause = error.__cause__
    if isinstance(cause, Exception) and isinstance(cause, tuple(STATUSES)):
        return answer(request, cause)
    return api.create_response(request, problem(error.status_code, str(error)), status=error.status_code)


@api.exception_handler(RequestDataTooBig)
def too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
    """A body that is not even read."""
    return answer(request, _too_large())


@api.exception_handler(Http404)
def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    """What no view of ours has."""
    return api.create_response(request, problem(404, "There is nothing here."), status=404)


def _field(found: dict[str, Any]) -> str:
    """The last name in the path: before it stand the source and the view's own words."""
    names = [part for part in found["loc"] if isinstance(part, str)]
    return names[-1] if len(names) > 1 else "body"


def _message(found: dict[str, Any]) -> str:
    message: str = found["msg"]
    return message.removeprefix("Value error, ").removesuffix(".") + "."
