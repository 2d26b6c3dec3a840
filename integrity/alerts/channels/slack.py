"""Messages to an incoming webhook of Slack, or of whatever understands the same."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import ClassVar
from urllib.parse import urlsplit

from integrity.alerts.bounds import Bound
from integrity.alerts.channels.base import Channel
from integrity.alerts.channels.posting import Post, host, url_problems
from integrity.alerts.messages import Message, as_slack
from integrity.exceptions import WrongDeclaration


@dataclass(frozen=True, kw_only=True)
class Slack(Channel):
    """url: of the incoming webhook. It is a secret, and shown nowhere."""

    type: ClassVar[str] = "slack"

    url: str = field(repr=False)

    @property
    def where(self) -> str:
        return host(urlsplit(self.url))

    def send(self, message: Message, bound: Bound) -> None:
        body = json.dumps({"text": as_slack(message)}, ensure_ascii=False).encode()
        Post(self.url, bound).perform(body, {"Integrity-Delivery": message.uid})

    def problems(self) -> Iterable[WrongDeclaration]:
        return url_problems("url", self.url)
