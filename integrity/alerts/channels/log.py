"""Messages as lines of the log, for whoever collects logs already."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from integrity.alerts.bounds import Bound
from integrity.alerts.channels.base import Channel, texts
from integrity.alerts.conditions import GOOD
from integrity.alerts.messages import Message, headline
from integrity.exceptions import WrongDeclaration

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO}


@dataclass(frozen=True, kw_only=True)
class Log(Channel):
    """logger: its name. A line for each event, at the level of the rule's severity; good news are INFO."""

    type: ClassVar[str] = "log"

    logger: str = "integrity.alerts"

    @property
    def where(self) -> str:
        return f"the logger {self.logger}"

    def send(self, message: Message, bound: Bound) -> None:
        for event in message.events:
            level = logging.INFO if event["event"] in GOOD else LEVELS[event["severity"]]
            logging.getLogger(self.logger).log(level, "alert %s: %s", message.alert, headline(event))

    def problems(self) -> Iterable[WrongDeclaration]:
        return texts(self, "logger")
