"""Working off keys in batches that last about as long as wished, and that give way to the writers they meet."""

from __future__ import annotations

import itertools
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from django.db import DatabaseError
from psycopg import errors

from integrity.conf import conf
from integrity.exceptions import Harm, TooBusy
from integrity.repairing.worklist import Item
from integrity.throttle import Throttle

# Somebody else was faster: worth another try. IntegrityError: a row that we insert was inserted meanwhile.
_PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure, errors.IntegrityError)
# What a repair breaks it breaks each time; what somebody else broke between two looks, only once.
_PROOFS = 3
HARMFUL = 100
"""So many keys in a row that would break another rule: it is not about single keys."""


class Batches:
    """Calls ``batch(items)`` until every key is done or skipped. An item is a key, or the number of one.

    A batch answers those that moved under it; they are tried again. A batch that meets a lock, a deadlock or a
    conflicting row is tried again with a pause, then halved, and a single key that still fails is skipped. One that
    would break another rule is halved until the keys that break it are alone; these are skipped, and the others done.
    Raises Harm when HARMFUL keys in a row are such.
    """

    def __init__(
        self,
        batch: Callable[[Sequence[Item]], set[Item]],
        skip: Callable[[Sequence[Item], Exception], None],
        throttle: Throttle,
    ) -> None:
        """skip: told of items that are left and of what they met, Harm, TooBusy or an error of the database."""
        self.batch, self.skip, self.throttle = batch, skip, throttle
        self.size = conf().BATCH_KEYS
        self.halved_at = 0.0
        self.attempts: dict[Item, int] = {}
        self.harmful = 0

    def work_off(self, items: Iterable[Item]) -> None:
        coming, again = iter(items), deque[Item]()
        lasted = 0.0
        while batch := [*itertools.islice(coming, self.size)] or self._some(again):
            self.throttle.give_way(lasted)
            started = time.monotonic()
            again.extend(self._again(self._try(batch, conf().LOCK_RETRIES)))
            lasted = time.monotonic() - started
            self._adapt(lasted)

    def _some(self, again: deque[Item]) -> list[Item]:
        return [again.popleft() for _ in range(min(self.size, len(again)))]

    def _try(self, items: Sequence[Item], attempts: int, proofs: int = 0) -> set[Item]:
        """proofs: how often these items were in a batch that would have broken another rule."""
        met: Exception
        for attempt in range(attempts):
            try:
                moved = self.batch(items)
            except Harm as error:
                met, proofs = error, proofs + 1
                if len(items) > 1 or proofs >= _PROOFS:
                    break
            except DatabaseError as error:
                if not isinstance(error.__cause__, _PASSING):
                    raise
                met = error
            else:
                self.harmful = 0
                return moved
            _pause(attempt)
        if len(items) == 1:
            self._leave(items, met)
            return set()
        half = len(items) // 2
        parts = (items[:half], items[half:])
        # Halves look for the row that is in the way; patience is for the row itself.
        return set().union(*(self._try(part, conf().LOCK_RETRIES if len(part) == 1 else 1, proofs) for part in parts))

    def _leave(self, items: Sequence[Item], met: Exception) -> None:
        self.skip(items, met)
        self.harmful += isinstance(met, Harm)
        if self.harmful >= HARMFUL:
            raise Harm(f"{self.harmful} keys in a row would break another rule; the rest was not tried. {met}") from met

    def _again(self, moved: set[Item]) -> list[Item]:
        again = []
        for item in sorted(moved, key=str):
            self.attempts[item] = self.attempts.get(item, 0) + 1
            if self.attempts[item] < conf().LOCK_RETRIES:
                again.append(item)
            else:
                self._alone(item)
        return again

    def _alone(self, item: Item) -> None:
        """A key by itself: only then are its locks waited for."""
        for attempt in range(conf().LOCK_RETRIES):
            if not self._try([item], conf().LOCK_RETRIES):
                return
            _pause(attempt)
        self.skip([item], TooBusy("its rows kept changing or stayed locked while it was repaired"))

    def _adapt(self, seconds: float) -> None:
        """Smaller where it took too long, or kept people waiting; larger where it was quick."""
        wished, few = conf().BATCH_SECONDS, conf().BATCH_KEYS // 50
        waited_for = bool(self.throttle.kept_waiting)
        # The steps of a batch take their time for however few keys: where half of them took hardly less, fewer help
        # nobody, and very few would only make very many batches.
        helps = not self.halved_at * 0.75 < seconds < self.halved_at * 1.5
        if helps and (seconds > wished * 2 or (waited_for and self.size > few)):
            self.size, self.halved_at = max(1, self.size // 2), seconds
        elif not waited_for and not helps and self.size < few:
            self.size *= 2
        elif not waited_for and seconds < (wished if self.size < few else wished / 2):
            self.size, self.halved_at = min(self.size * 2, conf().BATCH_KEYS * 16), 0.0


def _pause(attempt: int) -> None:
    # Random, so that two that collided do not collide again.
    time.sleep(0.05 * 2**attempt * (0.5 + random.random()))  # noqa: S311
