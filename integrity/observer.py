"""What a verb tells while it works: where it is, for a progress bar, and each named step, for those who must know."""

from __future__ import annotations


class Observer:
    """Hears everything and does nothing; a door overrides what it shows."""

    def begins(self, what: str, total: int | None) -> None:
        """A piece of work begins; ``total`` is the number of its parts where known."""

    def advances(self, what: str, done: int = 1) -> None:
        """Parts of it are done."""

    def waits(self, why: str) -> None:
        """The work stands still for a reason, or, where that is empty, goes on."""

    def reaches(self, step: str) -> None:
        """A named step of a repair or undo has been reached; the steps are listed where they are announced."""
