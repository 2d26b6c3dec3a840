"""Rounds in which both sides take turns, so that a busy machine slows down both; ratios within a round hold."""

from __future__ import annotations

import statistics
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class Job(ABC):
    """The same work done by hand and by the engine; only ``by_hand`` and ``by_engine`` are measured.

    what: for the table. goal: how many times as long the engine may take, None where nothing is promised. repeat: how
    often in a round, for work of milliseconds.
    """

    name: str
    what: str
    goal: float | None = None
    repeat: int = 1
    needs: str = "history"
    """Which data must be loaded."""

    @abstractmethod
    def by_hand(self) -> None:
        """The best SQL that is known for the job."""

    @abstractmethod
    def by_engine(self) -> None:
        """The verb."""

    def before(self) -> None:  # noqa: B027  (most often there is nothing to make)
        """Make the work that is to be done."""

    def before_hand(self) -> None:
        """The same, where the sides need something different."""
        self.before()

    def before_engine(self) -> None:
        self.before()

    def after(self) -> None:  # noqa: B027  (most leave the same as they found)
        """Leave the database to the next job."""

    def promised(self) -> float | None:
        """The goal on the server at hand."""
        return self.goal

    def left(self) -> Any:
        """What must be equal after either side has worked."""
        return None


@dataclass
class Figures:
    """Seconds by round, and the memory of this process at its peak."""

    hand: list[float] = field(default_factory=list)
    engine: list[float] = field(default_factory=list)
    megabytes: int = 0

    @property
    def ratios(self) -> list[float]:
        return sorted(engine / hand for hand, engine in zip(self.hand, self.engine, strict=True))

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)


def measure(job: Job, rounds: int) -> Figures:
    """Both sides in turns, after one unmeasured round that warms the caches.

    Raises AssertionError when one side leaves other rows than the other.
    """
    figures = Figures()
    _seconds(job.before_hand, job.by_hand)
    by_hand = job.left()
    _seconds(job.before_engine, job.by_engine)
    assert job.left() == by_hand, f"{job.name}: the engine and the SQL by hand left different rows"
    for number in range(rounds):
        # Whoever goes second finds the dirt of the first, so they change places.
        for side in ("hand", "engine") if number % 2 else ("engine", "hand"):
            work, before = getattr(job, f"by_{side}"), getattr(job, f"before_{side}")
            _forget_peak()
            getattr(figures, side).append(sum(_seconds(before, work) for _ in range(job.repeat)) / job.repeat)
            if side == "engine":
                figures.megabytes = max(figures.megabytes, _peak())
    job.after()
    return figures


def _seconds(before: Callable[[], None], work: Callable[[], None]) -> float:
    before()
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _forget_peak() -> None:
    if FORGET.exists():
        FORGET.write_text("5")


def _peak() -> int:
    """Megabytes of memory at the peak, or 0 where the system does not tell."""
    if not STATUS.exists():
        return 0
    held = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    return int(held.split()[1]) // 1024
