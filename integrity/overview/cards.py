"""What an app adds to the overview: a card of its own, which the engine shows without knowing what it says.

An app says it where its administration is declared, say in ``admin.py``::

    @card(permission="vehicles.view_vehicle")
    def overrides() -> Card:
        return Card("Overrides in force", Vehicle.objects.exclude(override=None).count())
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Card:
    """A figure with its name and a sentence; ``lines`` are a few things that stand behind it.

    url: where it leads, as a path of the site. is_alarming: shown as bad.
    """

    title: str
    figure: int | str
    note: str = ""
    lines: Sequence[str] = ()
    url: str = ""
    is_alarming: bool = False


Maker = Callable[[], Card]
_makers: dict[Maker, str] = {}


def card(*, permission: str = "") -> Callable[[Maker], Maker]:
    """Register what makes a card, in few and cheap queries; it is asked each time the overview is shown.

    permission: without which nobody sees it, such as ``vehicles.view_vehicle``.
    """

    def register(make: Maker) -> Maker:
        _makers[make] = permission
        return make

    return register


def unregister(make: Maker) -> None:
    """Show it no more."""
    _makers.pop(make, None)


def cards(may_see: Callable[[str], bool]) -> list[Card]:
    """The cards of all apps that somebody may see; ``may_see`` answers for a permission.

    One that cannot be made says so, and the others are shown.
    """
    return [_made(make) for make, permission in _makers.items() if not permission or may_see(permission)]


def _made(make: Maker) -> Card:
    try:
        return make()
    except Exception as error:
        # An app's own code may raise anything, and whoever looks for what is wrong must see the rest.
        logger.exception("The card %s could not be made", make.__name__)
        title = make.__name__.replace("_", " ").capitalize()
        return Card(title, "?", f"It could not be made: {type(error).__name__}. The log says more.", is_alarming=True)
