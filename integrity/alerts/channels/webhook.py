"""Messages as JSON to an address of your own, signed so that it can tell them from anybody else's."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import urlsplit

from integrity.alerts.bounds import Bound
from integrity.alerts.channels.base import Channel
from integrity.alerts.channels.posting import Post, host, url_problems
from integrity.alerts.messages import Message, as_object
from integrity.exceptions import WrongDeclaration

LEAST_SECRET = 16


@dataclass(frozen=True, kw_only=True)
class Webhook(Channel):
    """url: http or https. secret: what the receiver knows too; without one messages are not signed."""

    type: ClassVar[str] = "webhook"

    # Neither is printed with the channel.
    url: str = field(repr=False)
    secret: str = field(default="", repr=False)

    @property
    def where(self) -> str:
        return host(urlsplit(self.url))

    def send(self, message: Message, bound: Bound) -> None:
        body = json.dumps(as_object(message), ensure_ascii=False).encode()
        headers = {"Integrity-Delivery": message.uid}
        if self.secret:
            headers["Integrity-Signature"] = signature(self.secret, body, int(time.time()))
        Post(self.url, bound).perform(body, headers)

    def problems(self) -> Iterable[WrongDeclaration]:
        yield from url_problems("url", self.url)
        secret: Any = self.secret
        if not isinstance(secret, str) or 0 < len(secret) < LEAST_SECRET:
            yield WrongDeclaration(
                f"'secret' is not a text of at least {LEAST_SECRET} characters",
                "Such as from python -c 'import secrets; print(secrets.token_urlsafe(32))'.",
            )


def signature(secret: str, body: bytes, at: int) -> str:
    """``t=1700000000,v1=...``: the time of the attempt, and the HMAC-SHA256 of ``time.body`` in hexadecimal digits."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={signed}"
