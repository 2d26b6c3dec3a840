"""The settings of this app on one page; nothing else here reads ``django.conf.settings``."""

from dataclasses import dataclass, fields
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

MOST_KM = 1_000_000


@dataclass(frozen=True)
class Conf:
    """``PLAYERS = {...}`` in Django's settings; what is left out has the value below."""

    MAX_DISTANCE_KM: Decimal = Decimal(100)
    """The most that one report may add. A box that was offline for a day reports its day in parts."""
    KEY_REQUESTS_PER_MINUTE: int = 6_000
    """What one API key may ask; all of it may come at once. 0 is without limit."""
    ADDRESS_REQUESTS_PER_MINUTE: int = 600
    """What one address may ask without a valid key. 0 is without limit."""
    TRUSTED_PROXIES: int = 0
    """How many proxies of ours append to X-Forwarded-For. With 0 the header is not believed."""


def conf() -> Conf:
    """The settings now in force. Raises ImproperlyConfigured naming an unknown one."""
    return _read(tuple(getattr(settings, "PLAYERS", {}).items()))


@cache
def _read(items: tuple[tuple[str, Any], ...]) -> Conf:
    """Read once for each content: every request asks."""
    given = dict(items)
    known = {setting.name for setting in fields(Conf)}
    for name in given:
        if name not in known:
            raise ImproperlyConfigured(f"Unknown setting PLAYERS[{name!r}]. Known: {', '.join(sorted(known))}.")
    return Conf(**given | {"MAX_DISTANCE_KM": _kilometres(given.get("MAX_DISTANCE_KM", Conf.MAX_DISTANCE_KM))})


def _kilometres(given: object) -> Decimal:
    try:
        km = Decimal(str(given))
    except InvalidOperation:
        km = Decimal("NaN")
    if not (km.is_finite() and 0 < km <= MOST_KM):
        raise ImproperlyConfigured(
            f"PLAYERS['MAX_DISTANCE_KM'] is {given!r}: give a number above 0, at most {MOST_KM}."
        )
    return km
