"""Working off keys in batches that last about as long as wished, and that give way to the writers they meet."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from django.db import DatabaseError
from psycopg import errors

from integrity.conf import conf
from integrity.exceptions import Harm, sentence
from integrity.keys import Key
from integrity.throttle import Throttle

# Somebody else was faster: worth another try. IntegrityError: a row that we insert was inserted meanwhile.
_PASSING = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure, errors.IntegrityError)
# What a repair breaks it breaks each time; what somebody else broke between two looks, only once.
_PROOFS = 3


class Batches:
    """Calls ``batch(keys)`` until every key is done or skipped.

    A batch answers the keys that moved under it; these are tried again. A batch that meets a lock, a deadlock or a
    conflicting row is tried again with a pause, then halved, and a single key that still fails is skipped.
    """

    def __init__(
        self,
        batch: Callable[[Sequence[Key]], set[Key]],
        skip: Callable[[Iterable[Key], str], None],
        throttle: Throttle,
    ) -> None:
        self.batch, self.skip, self.throttle = batch, skip, throttle
        self.size = conf().BATCH_KEYS
        self.least = 0.0
        self.attempts: dict[Key, int] = {}

    def work_off(self, keys: Sequence[Key]) -> None:
        waiting: deque[Key] = deque(keys)
        lasted = 0.0
        while waiting:
            self.throttle.give_way(lasted)
            batch = [waiting.popleft() for _ in range(min(self.size, len(waiting)))]
            started = time.monotonic()
            waiting.extend(self._again(self._try(batch, conf().LOCK_RETRIES)))
            lasted = time.monotonic() - started
            self._adapt(lasted)

    def _try(self, keys: Sequence[Key], attempts: int) -> set[Key]:
        for attempt in range(attempts):
            try:
                return self.batch(keys)
            except Harm:
                if attempt == min(attempts, _PROOFS) - 1:
                    raise
                _pause(attempt)
            except DatabaseError as error:
                if not isinstance(error.__cause__, _PASSING):
                    raise
                met = error
                _pause(attempt)
        if len(keys) == 1:
            self.skip(keys, sentence(met))
            return set()
        half = len(keys) // 2
        parts = (keys[:half], keys[half:])
        # Halves look for the row that is locked; patience is for the row itself.
        return set().union(*(self._try(part, conf().LOCK_RETRIES if len(part) == 1 else 1) for part in parts))

    def _again(self, moved: set[Key]) -> list[Key]:
        again = []
        for key in sorted(moved, key=str):
            self.attempts[key] = self.attempts.get(key, 0) + 1
            if self.attempts[key] < conf().LOCK_RETRIES:
                again.append(key)
            else:
                self._alone(key)
        return again

    def _alone(self, key: Key) -> None:
        """A key by itself: only then are its locks waited for."""
        for attempt in range(conf().LOCK_RETRIES):
            if not self._try([key], conf().LOCK_RETRIES):
                return
            _pause(attempt)
        self.skip([key], "its rows kept changing or stayed locked while it was repaired")

    def _adapt(self, seconds: float) -> None:
        """Smaller where it took too long, or kept people waiting; larger where it was quick."""
        wished, waited_for = conf().BATCH_SECONDS, bool(self.throttle.kept_waiting)
        # One that is hardly longer than the shortest would not be shorter with fewer keys: all that it takes is steps.
        if seconds > wished * 2 or (waited_for and seconds > self.least * 2):
            self.size = max(1, self.size // 2)
        elif seconds < wished / 2 and not waited_for:
            self.size = min(self.size * 2, conf().BATCH_KEYS * 4)
        # It is forgotten with time, or a batch that found nothing to do would stand for all.
        self.least = min(seconds, self.least * 1.1) if self.least else seconds


def _pause(attempt: int) -> None:
    # Random, so that two that collided do not collide again.
    time.sleep(0.05 * 2**attempt * (0.5 + random.random()))  # noqa: S311
