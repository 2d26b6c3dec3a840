"""DATABASE_URL becomes Django's DATABASES entry, or one sentence that says what is wrong with it."""

import re
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
from django.core.exceptions import ImproperlyConfigured

SCHEMES = ("postgres", "postgresql")
WAY_OUT = "write postgres://user:password@host:5432/name, or unset it to use the embedded PostgreSQL."


def parse(url: str) -> dict[str, Any]:
    """The entry for a URL such as postgres://user:password@host:5432/name or postgres:///name?host=/run/postgresql.

    Raises ImproperlyConfigured; its message shows the URL with the password masked.
    """
    _check(url)
    entry: dict[str, Any] = environ.Env.db_url_config(url)
    options = entry.setdefault("OPTIONS", {})
    entry["HOST"] = options.pop("host", unquote(entry["HOST"]))
    entry["PORT"] = options.pop("port", entry["PORT"])
    if not entry["NAME"]:
        raise _refusal(url, "names no database")
    options.setdefault("application_name", "holdtrue")
    entry.setdefault("CONN_MAX_AGE", 60)
    entry.setdefault("CONN_HEALTH_CHECKS", True)
    return entry


def masked(url: str) -> str:
    """The URL without its password, which may stand before the @ or in the query."""
    url = re.sub(r"(?<=://)([^/@:]*):.*@", r"\1:***@", url)
    return re.sub(r"(?i)((?:^|[?&])(?:ssl)?password=)[^&]*", r"\1***", url)


def _check(url: str) -> None:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise _refusal(url, "is not a valid URL") from error
    if not parts.scheme or "://" not in url:
        raise _refusal(url, "is not a URL")
    if parts.scheme not in SCHEMES:
        raise _refusal(url, f"asks for {parts.scheme}, but only PostgreSQL is supported")
    if not port_is_valid:
        raise _refusal(url, "has port 0")


def _refusal(url: str, problem: str) -> ImproperlyConfigured:
    return ImproperlyConfigured(f"DATABASE_URL={masked(url)} {problem}: {WAY_OUT}")
