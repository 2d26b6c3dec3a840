"""How an operation of the engine's API is declared: who may, what it answers, and which refusals it knows."""

from collections.abc import Callable
from functools import wraps
from inspect import cleandoc
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError
from ninja import Router

from integrity.api.auth import needs
from integrity.api.once import TOLD, once
from integrity.api.problems import WAIT, Refusal, refusals
from integrity.exceptions import EngineError
from integrity.permissions import needed

View = TypeVar("View", bound=Callable[..., Any])
SENT = (400, 413, 415)
"""What may be wrong with a body before anybody reads it."""


class Operations:
    """Adds operations to a router; what the engine refuses in one becomes the status that says so."""

    def __init__(self, router: Router) -> None:
        self.router = router

    def get(
        self,
        path: str,
        summary: str,
        *,
        out: Any,
        scopes: tuple[str, ...] = ("read",),
        refuses: tuple[int, ...] = (),
    ) -> Callable[[View], View]:
        """What is read, by whoever has one of the scopes."""
        return self._operation("GET", path, summary, scopes, {200: out}, refuses)

    def post(
        self,
        path: str,
        summary: str,
        *,
        scope: str,
        out: Any,
        put_off: Any = None,
        refuses: tuple[int, ...] = (),
        auth: list[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Callable[[View], View]:
        """What is done, by whoever has the scope.

        put_off: what is answered where it is left to the queue. auth: who asks, where it is not only for the scope.
        extra: more for the document.
        """
        answers = {200: out} | ({202: put_off} if put_off else {})
        return self._operation("POST", path, summary, (scope,), answers, refuses, auth, extra or {})

    def _operation(
        self,
        method: str,
        path: str,
        summary: str,
        scopes: tuple[str, ...],
        answers: dict[int, Any],
        refuses: tuple[int, ...],
        auth: list[Any] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> Callable[[View], View]:
        posts = method == "POST"

        def add(view: View) -> View:
            return self.router.api_operation(
                [method],
                path,
                auth=auth or needs(*scopes),
                summary=summary,
                description=f"{cleandoc(view.__doc__ or '')}\n\n{_needed(scopes)}",
                by_alias=True,
                response=answers | refusals(401, 403, *refuses, *((409,) if posts else ())),
                openapi_extra=WAIT
                | ({"responses": WAIT["responses"] | LOCATION} if 202 in answers else {})
                | ({"parameters": [TOLD]} if posts else {})
                | (extra or {}),
            )(_refusing(once(view) if posts else view))

        return add


LOCATION: dict[int, Any] = {
    202: {"headers": {"Location": {"description": "Where the run is told of.", "schema": {"type": "string"}}}}
}


def _needed(scopes: tuple[str, ...]) -> str:
    permissions = " or ".join(", ".join(f"`{permission}`" for permission in needed(scope)) for scope in scopes)
    named = " or ".join(f"`{scope}`" for scope in scopes)
    return f"Needs a key with the scope {named}, or staff with the permission {permissions}."


def _refusing(view: View) -> View:
    @wraps(view)
    def refused(*args: Any, **kwargs: Any) -> Any:
        try:
            return view(*args, **kwargs)
        except (EngineError, DatabaseError, InterfaceError) as error:
            raise Refusal.of(error) from error

    return refused  # type: ignore[return-value]
