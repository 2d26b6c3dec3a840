"""A request that came twice is answered twice and carried out once, where it says by a key that it is the same.

Answers are kept for a day, refusals are not: what was refused did nothing, and may be tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from functools import wraps
from typing import Any, TypeVar

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from ninja import Status
from ninja.responses import NinjaJSONEncoder

from integrity.api.problems import RETRY_AFTER, Refusal
from integrity.api.receiving import received, receives
from integrity.conf import conf
from integrity.models import KeptAnswer

View = TypeVar("View", bound=Callable[..., Any])
HEADER = "Idempotency-Key"
KEPT = timedelta(hours=24)
LONGEST = 200
FORGOTTEN_AT_ONCE = 100
TOLD: dict[str, Any] = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1, "maxLength": LONGEST},
    "description": (
        "The same key with the same request within 24 hours returns the first answer, and nothing is done again; with"
        " another request, or while the first is at work, it is a conflict."
    ),
}
"""The header, for the document."""


def once(view: View) -> View:
    """An operation that heeds the header."""

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        key = request.headers.get(HEADER)
        if key is None:
            return view(request, *args, **kwargs)
        try:
            ours = _claimed(request, key)
        except Exception:
            _discard(request)
            raise
        if ours.status is not None:
            _discard(request)
            return _again(ours.status, ours, kwargs.get("response"))
        try:
            answer = view(request, *args, **kwargs)
        except BaseException:
            with suppress(DatabaseError, InterfaceError):
                ours.delete()
            raise
        _keep(ours, answer, kwargs.get("response"))
        return answer

    return answered  # type: ignore[return-value]


def _claimed(request: HttpRequest, key: str) -> KeptAnswer:
    """The answer to the first such request, or a place for ours. Raises Refusal."""
    if not 1 <= len(key) <= LONGEST or not key.isprintable():
        raise Refusal(422, f"Use 1 to {LONGEST} printable characters.", HEADER)
    now, request_hash = timezone.now(), _hash(request)
    old = KeptAnswer.objects.filter(at__lt=now - KEPT)
    KeptAnswer.objects.filter(pk__in=old.order_by("at").values("pk")[:FORGOTTEN_AT_ONCE]).delete()
    actor = str(request.auth)  # type: ignore[attr-defined]
    old.filter(actor=actor, key=key).delete()
    found, is_ours = KeptAnswer.objects.get_or_create(
        actor=actor, key=key, defaults={"request_hash": request_hash, "at": now}
    )
    if is_ours:
        return found
    if found.request_hash != request_hash:
        raise Refusal(409, f"This {HEADER} came with another request before: take a new one.", HEADER)
    if found.status is None and not _took_over(found):
        raise Refusal(409, f"The first request with this {HEADER} is still at work: ask again in a while.", HEADER)
    return found


def _took_over(found: KeptAnswer) -> bool:
    """Whether the process that was to answer has died: no request lasts so long. What it began is gone on with."""
    now = timezone.now()
    lasts = timedelta(seconds=2 * conf().API_SECONDS + RETRY_AFTER)
    left = KeptAnswer.objects.filter(pk=found.pk, at=found.at, status=None, at__lt=now - lasts)
    return bool(left.update(at=now))


def _keep(ours: KeptAnswer, answer: Any, response: HttpResponse | None) -> None:
    status, body = (answer.status_code, answer.value) if isinstance(answer, Status) else (200, answer)
    ours.status = status
    ours.answer = json.loads(json.dumps(body, cls=NinjaJSONEncoder))
    ours.location = response.get("Location", "") if response is not None else ""
    ours.save(update_fields=["status", "answer", "location"])


def _again(status: int, kept: KeptAnswer, response: HttpResponse | None) -> Any:
    if kept.location and response is not None:
        response["Location"] = kept.location
    return Status(status, kept.answer)


def _discard(request: HttpRequest) -> None:
    """The files of a request that goes no further."""
    if receives(request):
        received(request).discard()


def _hash(request: HttpRequest) -> str:
    """SHA-256 of what is asked for, in hex; of files what is in them, however they are wrapped."""
    found = hashlib.sha256(f"{request.method} {request.get_full_path()}\n".encode())
    if not receives(request):
        found.update(request.body)
        return found.hexdigest()
    found.update(json.dumps(sorted(request.POST.lists())).encode())
    for part, path in sorted(received(request).files.items()):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        found.update(f"\n{part} {path.suffix} {content}".encode())
    return found.hexdigest()
