"""The page that Prometheus scrapes, for a key with the scope ``read`` or staff who may read."""

from __future__ import annotations

from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from integrity.apikeys import check_key
from integrity.exceptions import WrongKey, sentence
from integrity.metrics.exposition import exposition
from integrity.permissions import may

SCOPE = "read"
_WAY_IN = (
    "Send a key with the scope read as Authorization: Bearer KEY. Make one: manage.py integrity keys --create NAME"
    " --scope read"
)


@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """401 without a key, 403 for one that may not read, 503 while the database cannot answer."""
    refused = _refused(request)
    if refused is not None:
        return refused
    try:
        text, media_type = exposition(request.headers.get("Accept", ""))
    except DatabaseError as error:
        return _plain(503, sentence(error))
    return HttpResponse(text, content_type=media_type)


def _refused(request: HttpRequest) -> HttpResponse | None:
    kind, _, key = request.headers.get("Authorization", "").partition(" ")
    if kind.lower() == "bearer":
        try:
            scopes = check_key(key.strip()).scopes
        except WrongKey as error:
            return _plain(403, str(error))
        return None if SCOPE in scopes else _plain(403, f"This key lacks the scope {SCOPE}.")
    user = getattr(request, "user", None)
    if user is not None and user.is_authenticated:
        return None if may(user, SCOPE) else _plain(403, f"{user.get_username()} may not read what runs found.")
    answer = _plain(401, _WAY_IN)
    answer["WWW-Authenticate"] = "Bearer"
    return answer


def _plain(status: int, told: str) -> HttpResponse:
    return HttpResponse(f"{told}\n", status=status, content_type="text/plain; charset=utf-8")
