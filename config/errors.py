"""Which exception becomes which answer of the API."""

from typing import Any, Protocol

from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import HttpError, ValidationError

from config.problems import problem
from integrity.api.problems import answer_problems
from players.exceptions import TooLarge
from players.problems import STATUSES, explain
from stats.exceptions import Invalid as InvalidStat
from teams.exceptions import TeamsError
from vehicles.exceptions import Invalid, Unknown

LARGEST_BODY = 16_384


def too_large() -> TooLarge:
    """What is said of a body that is not even read."""
    return TooLarge(f"A body has at most {LARGEST_BODY:,} bytes.")


def answer_errors(api: NinjaAPI) -> None:
    """Let an API answer every refusal, of whichever app, as a problem."""
    answer_problems(api)
    _apps(api)
    _framework(api)


class _Refusal(Protocol):
    field: str


def _apps(api: NinjaAPI) -> None:
    """What the verbs of the apps refuse."""

    def answer(request: HttpRequest, error: Exception) -> HttpResponse:
        body, headers = explain(error)
        response = api.create_response(request, body, status=body["status"])
        for name, value in headers.items():
            response[name] = value
        return response

    def refuse(request: HttpRequest, error: _Refusal, status: int) -> HttpResponse:
        fields = [(error.field, str(error))] if error.field else []
        return api.create_response(request, problem(status, str(error), fields), status=status)

    for kind in STATUSES:
        api.exception_handler(kind)(answer)
    api.exception_handler(Unknown)(lambda request, error: refuse(request, error, 404))
    api.exception_handler(Invalid)(lambda request, error: refuse(request, error, 422))
    api.exception_handler(InvalidStat)(lambda request, error: refuse(request, error, 422))
    api.exception_handler(TeamsError)(lambda request, error: refuse(request, error, error.status))

    @api.exception_handler(RequestDataTooBig)
    def unread(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:
        return answer(request, too_large())

    @api.exception_handler(HttpError)
    def http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
        # Behind a body that the framework could not read may be one of our own refusals.
        cause = error.__cause__
        if isinstance(cause, Exception) and isinstance(cause, tuple(STATUSES)):
            return answer(request, cause)
        return api.create_response(request, problem(error.status_code, str(error)), status=error.status_code)


def _framework(api: NinjaAPI) -> None:
    """What is refused before a verb is asked."""

    @api.exception_handler(ValidationError)
    def wrong_fields(request: HttpRequest, error: ValidationError) -> HttpResponse:
        errors = [(_field(found), _message(found)) for found in error.errors]
        detail = " ".join(f"{field}: {message}" for field, message in errors)
        return api.create_response(request, problem(422, detail, errors), status=422)

    @api.exception_handler(Http404)
    def not_found(request: HttpRequest, error: Http404) -> HttpResponse:
        return api.create_response(request, problem(404, "There is nothing here."), status=404)


def _field(found: dict[str, Any]) -> str:
    """The last name in the path: before it stand the source and the view's own words."""
    names = [part for part in found["loc"] if isinstance(part, str)]
    return names[-1] if len(names) > 1 else "body"


def _message(found: dict[str, Any]) -> str:
    message: str = found["msg"]
    return message.removeprefix("Value error, ").removesuffix(".") + "."
