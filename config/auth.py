"""Who may use what is not public: programs with a global API key, staff with permissions, and members of teams."""

from typing import Any

from django.http import HttpRequest
from ninja.security import APIKeyHeader

from integrity.api.auth import Session
from players import limits
from players.exceptions import NoKey, WrongKey
from players.keys import HEADER, check_key
from teams.seeing import PROGRAM, Viewer

UNSAFE = "Unsafe methods need the header `X-CSRFToken` too."
READING = ("GET", "HEAD", "OPTIONS")


class GlobalKey(APIKeyHeader):
    """A global API key; that of a device opens nothing but its own reports."""

    param_name = HEADER
    openapi_description = "A key of all bikes, made in the administration."

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        """The name that the audit gets. Raises WrongKey; None leaves it to the session."""
        if key is None:
            return None
        record = check_key(key)
        limits.count_key(record.prefix)
        if record.device_id is not None:
            raise WrongKey("This key serves one device. Send a global one.", HEADER)
        return f"key {record.name}"


class Staff(Session):
    """Staff with the permissions that the administration asks for as well: to view, or else to change, a model."""

    openapi_description = f"The session of staff. {UNSAFE}"

    def __init__(self, app: str, model: str) -> None:
        super().__init__(csrf=True)
        self.view, self.change = f"{app}.view_{model}", f"{app}.change_{model}"

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """The name that the audit gets. Raises NoKey and WrongKey."""
        user = _signed_in(request, "sign in to the administration")
        needed = self.view if request.method in READING else self.change
        if not (user.is_staff and (user.has_perm(needed) or user.has_perm(self.change))):
            raise WrongKey(f"{user.get_username()} lacks the permission {needed}.")
        return user.get_username()


class Reader(GlobalKey):
    """A program that reads what the members of all teams see."""

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """The viewer. Raises WrongKey; None leaves it to the session."""
        return None if super().authenticate(request, key) is None else PROGRAM


class Member(Session):
    """Anybody who is signed in; what they see depends on their teams."""

    openapi_description = f"The session of anybody. {UNSAFE}"

    def __init__(self) -> None:
        super().__init__(csrf=True)

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """The viewer. Raises NoKey."""
        return Viewer.of(_signed_in(request, "sign in"))


class Oneself(Session):
    """Anybody who is signed in, for what is theirs alone."""

    openapi_description = f"The session of whom it is about. {UNSAFE}"

    def __init__(self) -> None:
        super().__init__(csrf=True)

    def authenticate(self, request: HttpRequest, key: str | None) -> Any:
        """The user. Raises NoKey."""
        if not request.user.is_authenticated:
            count(request, "")
            raise NoKey("Sign in: these are your own, and no key opens them.", "")
        return request.user


def count(request: HttpRequest, prefix: str) -> None:
    """Count a request to the engine for its key, or without a valid one for its address. Raises TooMany."""
    if prefix:
        limits.count_key(prefix)
    else:
        limits.count_address(request.META.get("REMOTE_ADDR", ""), request.META.get("HTTP_X_FORWARDED_FOR", ""))


def _signed_in(request: HttpRequest, how: str) -> Any:
    """The user. Raises NoKey, which counts for the address."""
    if not request.user.is_authenticated:
        count(request, "")
        raise NoKey(f"Send a global API key in the header {HEADER}, or {how}.", HEADER)
    return request.user
