"""The settings of this app on one page; nothing else here reads ``django.conf.settings``."""

from dataclasses import dataclass, fields

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class Conf:
    """``VEHICLES = {...}`` in Django's settings; what is left out has the value below."""

    MAX_MILES_PER_DAY: int = 1500
    """Growth of a reading above this, for each day that passed, is an anomaly."""


def conf() -> Conf:
    """The settings now in force. Raises ImproperlyConfigured naming what is wrong."""
    given = getattr(settings, "VEHICLES", {})
    known = {setting.name for setting in fields(Conf)}
    for name in given:
        if name not in known:
            raise ImproperlyConfigured(f"Unknown setting VEHICLES[{name!r}]. Known: {', '.join(sorted(known))}.")
    most = given.get("MAX_MILES_PER_DAY", Conf.MAX_MILES_PER_DAY)
    if not isinstance(most, int) or most < 1:
        raise ImproperlyConfigured(f"VEHICLES['MAX_MILES_PER_DAY'] is {most!r}: give a whole number from 1 on.")
    return Conf(most)
