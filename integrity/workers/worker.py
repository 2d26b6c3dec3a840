"""A worker process: takes errands from the queue until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket

from integrity.workers.queue import QUEUE, require

logger = logging.getLogger(__name__)

_STOPS = (signal.SIGTERM, signal.SIGINT)
_AGAIN_AFTER = (1.0, 2.0, 5.0, 15.0, 30.0)
"""Seconds until the next attempt, after the database could not be reached once, twice, ..."""


def work(*, once: bool = False, threads: int = 1) -> None:
    """Work until SIGTERM or Ctrl-C, and end what was begun first; or until nothing waits any more.

    threads: how many errands at a time. A database that cannot be reached is waited for, unless ``once``. Raises
    UsageError where there is no queue.
    """
    require()
    asyncio.run(_Worker(once=once, threads=threads).run())


class _Worker:
    def __init__(self, *, once: bool, threads: int) -> None:
        self.once, self.threads = once, threads
        self.stopped = False
        self.current: asyncio.Task[None] | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in _STOPS:
            loop.add_signal_handler(number, self._stop)
        failures = 0
        while not self.stopped:
            begun = loop.time()
            try:
                self.current = asyncio.create_task(self._work())
                await self.current
                logger.info("The worker has ended")
            except asyncio.CancelledError:
                return
            except Exception:
                if self.once:
                    raise
                logger.exception("The queue cannot be reached; it is tried again")
            if self.once:
                return
            failures = 0 if loop.time() - begun > _AGAIN_AFTER[-1] else failures + 1
            if not self.stopped:
                self.current = asyncio.create_task(_sleep(_AGAIN_AFTER[min(failures, len(_AGAIN_AFTER)) - 1]))
                await asyncio.wait([self.current])

    def _stop(self) -> None:
        self.stopped = True
        if self.current is not None:
            self.current.cancel()

    async def _work(self) -> None:
        from procrastinate.contrib.django import app

        # Django's own connections belong to a thread each; the worker itself needs a pool.
        with app.replace_connector(app.connector.get_worker_connector()) as worker:  # type: ignore[attr-defined]
            async with worker.open_async():
                await worker.run_worker_async(
                    queues=[QUEUE],
                    name=f"integrity on {socket.gethostname()}",
                    wait=not self.once,
                    concurrency=self.threads,
                    delete_jobs="successful",
                    install_signal_handlers=False,
                )


async def _sleep(seconds: float) -> None:
    await asyncio.sleep(seconds)
