"""Waiting for the network, but only so long: a name that does not resolve, or a byte a second, ends on time too."""

from __future__ import annotations

import threading
from collections.abc import Callable

from django.db import connections


class Bound:
    """Told to a piece of work, which says how it can be ended from outside."""

    def __init__(self) -> None:
        self.over = False
        self._ends: list[Callable[[], None]] = []

    def ended_by(self, end: Callable[[], None]) -> None:
        """Call this when the time is over; what cannot be ended dies with the process."""
        self._ends.append(end)

    def end(self) -> None:
        self.over = True
        for end in self._ends:
            end()


def within(seconds: float, work: Callable[[Bound], None]) -> None:
    """Do some work in a thread of its own. Raises what it raises, and TimeoutError when it takes longer."""
    bound, raised = Bound(), list[BaseException]()

    def run() -> None:
        try:
            work(bound)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            raised.append(error)
        finally:
            connections.close_all()

    thread = threading.Thread(target=run, name="alert on its way", daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        bound.end()
        raise TimeoutError(f"it took longer than {seconds:g} s")
    if raised:
        raise raised[0]
