"""Who may use an operation: a program whose key has its scope, or staff with the permission that the scope stands for.

``auth=needs("repair")`` on an operation asks for it; ``request.auth`` is then the name that a run gets as its actor.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.module_loading import import_string
from ninja.errors import HttpError
from ninja.security import APIKeyHeader, SessionAuth

from integrity.api.problems import Refusal
from integrity.apikeys import check_key
from integrity.conf import conf
from integrity.exceptions import WrongKey
from integrity.permissions import may, needed

HEADER, TOKEN = "X-Api-Key", "X-CSRFToken"


class EngineKey(APIKeyHeader):
    """A key of the engine with one of some scopes."""

    param_name = HEADER
    openapi_description = "A key made by `manage.py integrity keys --create`, or in the administration; it has scopes."

    def __init__(self, *scopes: str) -> None:
        super().__init__()
        self.scopes = scopes

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        """The name of the actor; None, where no key was sent, leaves it to the session. Raises Refusal."""
        if key is None:
            return None
        try:
            record = check_key(key)
        except WrongKey as error:
            count(request)
            raise Refusal(403, str(error), HEADER) from error
        count(request, record.prefix)
        if not set(self.scopes) & set(record.scopes):
            lacking, has = " or ".join(self.scopes), ", ".join(record.scopes)
            raise Refusal(403, f"The key {record.name} lacks the scope {lacking}; it has: {has}.", HEADER)
        return f"key {record.name}"


class Session(SessionAuth):
    """Somebody who is signed in. Who is not is asked for a key or a name, and not for a token that they cannot have."""

    def _get_key(self, request: HttpRequest) -> str | None:
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            return None
        try:
            return super()._get_key(request)
        except HttpError as error:
            raise Refusal(403, f"Send the CSRF token of the session in the header {TOKEN}.", TOKEN) from error


class EngineStaff(Session):
    """Staff who are signed in and have the permission of one of some scopes; what writes needs their CSRF token too."""

    openapi_description = "The session of staff; unsafe methods need the header `X-CSRFToken` too."

    def __init__(self, *scopes: str) -> None:
        super().__init__(csrf=True)
        self.scopes = scopes

    def authenticate(self, request: HttpRequest, key: str | None) -> str:
        """The name of the actor. Raises Refusal."""
        user = getattr(request, "user", None)
        if user is None or not user.is_authenticated:
            count(request)
            raise Refusal(401, f"Send an API key in the header {HEADER}, or sign in to the administration.", HEADER)
        if not any(may(user, scope) for scope in self.scopes):
            lacking = " or ".join(", ".join(needed(scope)) for scope in self.scopes)
            raise Refusal(403, f"{user.get_username()} lacks the permission {lacking}, or is not of the staff.")
        return str(user.get_username())


def needs(*scopes: str) -> list[Any]:
    """For ``auth``: a key with one of these scopes, or staff with its permission. Raises UnknownName."""
    for scope in scopes:
        needed(scope)
    return [EngineKey(*scopes), EngineStaff(*scopes)]


def count(request: HttpRequest, prefix: str = "") -> None:
    """Count a request for the key that it came with, or else for its address, as INTEGRITY["API_LIMIT"] does."""
    if conf().API_LIMIT:
        import_string(conf().API_LIMIT)(request, prefix)
