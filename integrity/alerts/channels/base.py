"""What every channel is: a name, filters, and a way to send one message."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from integrity.alerts.bounds import Bound
from integrity.alerts.messages import Message
from integrity.exceptions import EngineError, WrongDeclaration
from integrity.registry import registry
from integrity.rules.base import SEVERITIES


class NotDelivered(EngineError):
    """A message did not arrive. ``for_good``: trying again is of no use before a person has changed something.

    after: seconds that the receiver has asked to be left alone.
    """

    def __init__(self, why: str, *, for_good: bool = False, after: float = 0.0) -> None:
        super().__init__(why)
        self.for_good, self.after = for_good, after


@dataclass(frozen=True, kw_only=True)
class Channel(ABC):
    """name: unique. severity: events of rules that weigh at least so much. apps, tags: of rules with one of these.

    Without a filter everything passes; what concerns an import has the severity error and no tags.
    """

    type: ClassVar[str]

    name: str
    severity: str = "info"
    apps: Sequence[str] = ()
    tags: Sequence[str] = ()

    @property
    @abstractmethod
    def where(self) -> str:
        """Where messages go, in words that hold no secret."""

    @abstractmethod
    def send(self, message: Message, bound: Bound) -> None:
        """Send one message, perhaps again; ``bound`` is told how that can be ended. Raises NotDelivered."""

    def problems(self) -> Iterable[WrongDeclaration]:
        """What is wrong with the declaration of this kind."""
        return ()

    def wants(self, event: Mapping[str, Any]) -> bool:
        """Whether an event passes the filters."""
        heavy = SEVERITIES.index(event["severity"]) <= SEVERITIES.index(self.severity)
        of_app = not self.apps or event["rule"].partition(".")[0] in self.apps
        return heavy and of_app and (not self.tags or bool(set(self.tags) & set(event["tags"])))

    def all_problems(self) -> Iterable[WrongDeclaration]:
        """What is wrong with it, filters included."""
        yield from texts(self, "name")
        yield from _lists(self, "apps", {rule.app for rule in registry} | _apps_of_imports())
        yield from _lists(self, "tags", {tag for rule in registry for tag in rule.tags})
        if self.severity not in SEVERITIES:
            yield WrongDeclaration(f"the severity {self.severity!r} is unknown", f"One of {', '.join(SEVERITIES)}.")
        yield from self.problems()


def texts(channel: Channel, *fields: str) -> Iterable[WrongDeclaration]:
    """What is wrong with fields that must be texts which say something."""
    for field in fields:
        given = getattr(channel, field)
        if not isinstance(given, str) or not given.strip():
            yield WrongDeclaration(f"{field!r} is {given!r}, and must be a text", f'Give "{field}": "...".')


def _lists(channel: Channel, field: str, known: set[str]) -> Iterable[WrongDeclaration]:
    given = getattr(channel, field)
    if isinstance(given, str) or not isinstance(given, Sequence):
        yield WrongDeclaration(f"{field!r} is {given!r}, and must be a list", f'Give "{field}": ["..."].')
        return
    for unknown in (word for word in given if word not in known):
        listed = ", ".join(sorted(known)) or "none"
        yield WrongDeclaration(f"{field!r} names {unknown!r}, which no rule has", f"Known: {listed}.")


def _apps_of_imports() -> set[str]:
    from integrity.importing.known import imports

    return {wanted.label.partition(".")[0] for wanted in imports}
