"""The channels that INTEGRITY_ALERTS declares, and what is wrong with them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any

from django.core.checks import CheckMessage, Error

from integrity.alerts.channels.base import Channel
from integrity.alerts.channels.log import Log
from integrity.alerts.channels.mail import Mail
from integrity.alerts.channels.slack import Slack
from integrity.alerts.channels.webhook import Webhook
from integrity.conf import alert_channels
from integrity.exceptions import UnknownName, WrongDeclaration

logger = logging.getLogger(__name__)

TYPES: dict[str, type[Channel]] = {kind.type: kind for kind in (Mail, Webhook, Slack, Log)}
SETTING = "INTEGRITY_ALERTS"


def channels() -> list[Channel]:
    """Those that are declared as they should be; of the others the log tells, and the system check."""
    found: list[Channel] = []
    for position, given in enumerate(_given()):
        try:
            made = _made(given)
        except WrongDeclaration as wrong:
            logger.warning("%s[%d] is left out: %s. %s", SETTING, position, wrong.message, wrong.hint)
            continue
        if made.name not in {other.name for other in found}:
            found.append(made)
    return found


def channel(name: str) -> Channel:
    """A channel by its name. Raises UnknownName listing the known ones."""
    found = channels()
    for one in found:
        if one.name == name:
            return one
    raise UnknownName(f"channel of {SETTING}", name, [one.name for one in found])


def check_channels(app_configs: object = None, **_: object) -> list[CheckMessage]:
    """What is wrong with INTEGRITY_ALERTS."""
    return [
        Error(f"{where}: {problem.message}.", hint=problem.hint, id="integrity.E006") for where, problem in _problems()
    ]


def _problems() -> Iterable[tuple[str, WrongDeclaration]]:
    given = alert_channels()
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        yield SETTING, WrongDeclaration(f"it is {type(given).__name__}, and must be a list", 'Such as [{"type": ...}].')
        return
    names: set[str] = set()
    for position, declared in enumerate(_given()):
        where = f"{SETTING}[{position}]"
        try:
            made = _made(declared)
        except WrongDeclaration as wrong:
            yield where, wrong
            continue
        if made.name in names:
            yield where, WrongDeclaration(f"two channels are named {made.name!r}", 'Give each its own "name".')
        names.add(made.name)


def _given() -> list[Any]:
    given = alert_channels()
    return [] if isinstance(given, str | Mapping) or not isinstance(given, Iterable) else list(given)


def _made(given: Any) -> Channel:
    """A channel of a dictionary. Raises WrongDeclaration for the first thing that is wrong."""
    if not isinstance(given, Mapping):
        raise WrongDeclaration(f"it is {given!r}, and must be a dictionary", 'Such as {"type": "log"}.')
    options = dict(given)
    wanted = options.pop("type", None)
    known = ", ".join(f'"{kind}"' for kind in TYPES)
    if not isinstance(wanted, str) or wanted not in TYPES:
        raise WrongDeclaration(f"the type {wanted!r} is unknown", f'Give "type": one of {known}.')
    kind = TYPES[wanted]
    options.setdefault("name", wanted)
    for unknown in options.keys() - {field.name for field in fields(kind)}:
        listed = ", ".join(field.name for field in fields(kind))
        raise WrongDeclaration(f"a channel of the type {wanted!r} has no {unknown!r}", f"Known: {listed}.")
    for field in fields(kind):
        if field.default is MISSING and field.name not in options:
            raise WrongDeclaration(f"{field.name!r} is missing", f'Give "{field.name}": ...')
    made = kind(**options)
    for problem in made.all_problems():
        raise problem
    return made
