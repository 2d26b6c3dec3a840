"""One POST with bounds: on time, on what is read of the answer, on where it goes."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from urllib.parse import SplitResult, urlsplit

from django.utils import timezone

from integrity.alerts.bounds import Bound
from integrity.alerts.channels.base import NotDelivered
from integrity.exceptions import WrongDeclaration

CONNECT_SECONDS = READ_SECONDS = 5.0
"""For a connection, and for each part of the answer; the sender has a bound for the whole."""
READ_BYTES = 2_000
_TOLD = 200
_HEADERS = {"Content-Type": "application/json", "User-Agent": "holdtrue", "Connection": "close"}
_AGAIN = (408, 425, 429)
"""Refusals that say: later."""


class Post:
    """One request of JSON."""

    def __init__(self, url: str, bound: Bound) -> None:
        self.url, self.bound = urlsplit(url), bound
        self.socket: socket.socket | None = None
        bound.ended_by(self._end)
        kind = http.client.HTTPSConnection if self.url.scheme == "https" else http.client.HTTPConnection
        self.connection = kind(self.url.hostname or "", self.url.port, timeout=CONNECT_SECONDS)

    def perform(self, body: bytes, headers: Mapping[str, str]) -> None:
        """Send, and read the answer as far as it is told. Raises NotDelivered for all but 200 to 299."""
        try:
            self._perform(body, headers)
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(f"{host(self.url)} {_in_words(error)}") from error
        finally:
            self.connection.close()

    def _perform(self, body: bytes, headers: Mapping[str, str]) -> None:
        self.connection.connect()
        # The connection lets go of it when the answer begins.
        self.socket = self.connection.sock
        if self.bound.over:
            raise TimeoutError
        self.socket.settimeout(READ_SECONDS)
        path = f"{self.url.path or '/'}{f'?{self.url.query}' if self.url.query else ''}"
        # A connection of http.client follows no redirect: a signed message goes where it was declared to go.
        self.connection.request("POST", path, body, {**_HEADERS, **headers})
        with self.connection.getresponse() as answer:
            self._judge(answer)

    def _judge(self, answer: http.client.HTTPResponse) -> None:
        if 200 <= answer.status < 300:
            return
        told = " ".join(answer.read(READ_BYTES).decode(errors="replace").split())[:_TOLD]
        why = f"{host(self.url)} answered {answer.status} {answer.reason}"
        why += f": {told}" if told and told.isprintable() else ""
        if 300 <= answer.status < 400:
            raise NotDelivered(f"{why}; redirects are not followed", for_good=True)
        refused = 400 <= answer.status < 500 and answer.status not in _AGAIN
        raise NotDelivered(why, for_good=refused, after=_seconds(answer.headers.get("Retry-After", "")))

    def _end(self) -> None:
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


def host(url: SplitResult) -> str:
    """Where it goes; the path may hold a secret."""
    return f"{url.hostname}:{url.port}" if url.port else str(url.hostname)


def url_problems(field: str, given: object) -> Iterable[WrongDeclaration]:
    """What is wrong with an address. The text is not repeated, for it may hold a secret."""
    way_out = f'Give "{field}": "https://host/path".'
    if not isinstance(given, str):
        yield WrongDeclaration(f"{field!r} is {type(given).__name__}, and must be a text", way_out)
        return
    try:
        url = urlsplit(given)
        _, name = url.port, (url.hostname or "").encode("idna")
    except ValueError as error:
        yield WrongDeclaration(f"{field!r} is no address: {error}", way_out)
        return
    if url.scheme not in ("http", "https"):
        yield WrongDeclaration(f"{field!r} begins with {url.scheme!r}, and only http and https are spoken", way_out)
    elif not name:
        yield WrongDeclaration(f"{field!r} names no host", way_out)
    elif url.username or url.password:
        yield WrongDeclaration(f"{field!r} holds a user or a password", "Leave them out; messages can be signed.")
    elif not given.isascii() or not given.isprintable() or " " in given:
        yield WrongDeclaration(f"{field!r} holds a character that no address has", "Encode it with %.")


def _in_words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"did not answer within {READ_SECONDS:g} s"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not trusted ({error.verify_message})"
    if isinstance(error, ConnectionRefusedError):
        return "refused the connection"
    if isinstance(error, socket.gaierror):
        return f"is not known ({error.strerror})"
    return f"could not be reached ({type(error).__name__}: {error})"


def _seconds(asked: str) -> float:
    """What Retry-After says: seconds, or a time."""
    if asked.isascii() and asked.isdecimal():
        return float(asked)
    with suppress(ValueError, TypeError):
        return (parsedate_to_datetime(asked) - timezone.now()).total_seconds()
    return 0.0
