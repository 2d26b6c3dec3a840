"""Simulated bikes that report to a running server over HTTP, as real ones do: for demonstrations and load tests.

Each bike is a thread with a connection of its own. It reports a little distance for its rider, passes to another rider
of its class now and then, and repeats a report that got no answer with the same Idempotency-Key.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from random import Random
from threading import Event, Lock, Thread
from urllib.parse import urlsplit
from uuid import uuid4

from players.keys import HEADER, create_key
from players.models import ApiKey, Device
from players.test_data import figures
from players.test_data.figures import BadArgument

PATH = "/api/update_data"
TIMEOUT = 10
ATTEMPTS = 3
REPORTS_PER_RIDER = (8, 40)
LIMITS = {"bikes": (1, 1_000), "seconds": (1, 86_400), "pause": (0, 3_600)}
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Bike:
    """A bike of a class of the test world, and the tags of those who ride it."""

    number: int
    device: str
    riders: tuple[str, ...]


@dataclass
class Outcome:
    """What has been reported so far. Times are seconds from sending a report to its answer."""

    started: float = field(default_factory=time.monotonic)
    times: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    skipped: int = 0
    repeated: int = 0
    switches: int = 0
    km: Decimal = Decimal(0)
    ended: float | None = None
    example: str = ""

    @property
    def reports(self) -> int:
        """Reports that were answered as they should be."""
        return len(self.times)

    @property
    def seconds(self) -> float:
        """How long it has gone on."""
        return max((self.ended or time.monotonic()) - self.started, 0.001)

    @property
    def rate(self) -> float:
        """Reports a second."""
        return self.reports / self.seconds

    def milliseconds(self, percent: int) -> float:
        """The time that so many percent of the reports did not exceed."""
        times = sorted(self.times)
        return times[min(len(times) * percent // 100, len(times) - 1)] * 1000 if times else 0.0


def bikes_of(seed: int, count: int) -> list[Bike]:
    """The first bikes of the test world: three of each class."""
    return [_bike(seed, number) for number in range(count)]


def _bike(seed: int, number: int) -> Bike:
    class_, bike = divmod(number, figures.BIKES_PER_CLASS)
    first = class_ * figures.CLASS_SIZE + 1
    name = figures.part_of(figures.school_of(seed, first), f"{figures.class_of(first)} bike {bike + 1}")
    # Each bike has riders of its own, so that no two bikes ask for one player at a time.
    mine = range(first + bike, first + figures.CLASS_SIZE, figures.BIKES_PER_CLASS)
    return Bike(number, name, tuple(figures.id_tag(seed, rider) for rider in mine))


@contextmanager
def keys_for(bikes: Sequence[Bike]) -> Iterator[dict[str, str]]:
    """A key for each bike, in the database of this process; they are deleted in the end. Raises BadArgument."""
    devices = {device.name: device for device in Device.objects.filter(name__in=[bike.device for bike in bikes])}
    if len(devices) < len(bikes):
        needed = -(-len(bikes) // figures.BIKES_PER_CLASS) * figures.CLASS_SIZE
        raise BadArgument(
            f"bikes {len(bikes)} is more than the {len(devices)} that are there: run "
            f"`manage.py load_test_data --players {needed}` first, or give a --key of the server that has them."
        )
    made: dict[str, tuple[str, ApiKey]] = {}
    try:
        for name, device in devices.items():
            made[name] = create_key("live test data", device)
        yield {name: plain for name, (plain, _) in made.items()}
    finally:
        ApiKey.objects.filter(pk__in=[record.pk for _, record in made.values()]).delete()


def check_url(url: str) -> None:
    """Raise BadArgument for what is no address of a server, or of one that does not listen."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise BadArgument(f"url takes an address such as http://127.0.0.1:8000, not {url!r}.")
    connection = _connect(url)
    try:
        connection.connect()
    except OSError as error:
        raise BadArgument(f"url {url} cannot be reached ({error}): start the server with `make serve`.") from error
    finally:
        connection.close()


def ride(
    url: str,
    bikes: Sequence[Bike],
    keys: Callable[[Bike], str],
    *,
    seconds: float | None = None,
    pause: float = 1.0,
    seed: int = 1,
    progress: Callable[[Outcome], None] = lambda outcome: None,
    every: float = 5.0,
) -> Outcome:
    """Let the bikes report until the time is over or Ctrl-C is pressed. `progress` is told every few seconds."""
    outcome, lock, stop = Outcome(), Lock(), Event()
    riding = [_Riding(url, bike, keys(bike), pause, seed, outcome, lock, stop) for bike in bikes]
    for one in riding:
        one.start()
    until = None if seconds is None else outcome.started + seconds
    try:
        while until is None or time.monotonic() < until:
            time.sleep(every if until is None else max(min(every, until - time.monotonic()), 0))
            with lock:
                progress(outcome)
    except KeyboardInterrupt:
        pass
    finally:
        stop.set()
        for one in riding:
            one.join(TIMEOUT)
    outcome.ended = time.monotonic()
    return outcome


class _Riding(Thread):
    """One bike at work."""

    def __init__(
        self, url: str, bike: Bike, key: str, pause: float, seed: int, outcome: Outcome, lock: Lock, stop: Event
    ) -> None:
        super().__init__(name=bike.device, daemon=True)
        self.url, self.bike, self.key, self.pause = url, bike, key, pause
        self.outcome, self.lock, self.stop = outcome, lock, stop
        self.random = Random(f"{seed}:{bike.number}:live")  # noqa: S311  (nothing here is secret)
        self.connection = _connect(url)

    def run(self) -> None:
        # Not all at once: bikes do not report in step.
        self.stop.wait(self.random.random() * self.pause)
        rider, left = self.random.choice(self.bike.riders), self.random.randint(*REPORTS_PER_RIDER)
        while not self.stop.is_set():
            begun = time.monotonic()
            self._report(rider)
            left -= 1
            if not left:
                rider, left = self.random.choice(self.bike.riders), self.random.randint(*REPORTS_PER_RIDER)
                with self.lock:
                    self.outcome.switches += 1
            self.stop.wait(max(self.pause - (time.monotonic() - begun), 0))
        self.connection.close()

    def _report(self, rider: str) -> None:
        # Some ten times as fast as people ride, so that there is something to see.
        km = figures.decimal(self.random.randrange(2_000, 12_000))
        body = json.dumps({"id_tag": rider, "device_id": self.bike.device, "distance": f"{km}"})
        headers = {"Content-Type": "application/json", HEADER: self.key, "Idempotency-Key": str(uuid4())}
        begun = time.monotonic()
        status, answer = self._send(body, headers)
        passed = time.monotonic() - begun
        with self.lock:
            if status == "200":
                self.outcome.times.append(passed)
                is_skipped = bool(answer.get("skipped"))
                self.outcome.skipped += is_skipped
                self.outcome.km += 0 if is_skipped else km
            elif not self.stop.is_set():
                self.outcome.failures[status] += 1
                self.outcome.example = self.outcome.example or json.dumps(answer)[:300]

    def _send(self, body: str, headers: dict[str, str]) -> tuple[str, dict[str, object]]:
        """The status and the answer; a report without one is repeated, which the key makes safe."""
        for attempt in range(ATTEMPTS):
            try:
                self.connection.request("POST", urlsplit(self.url).path.rstrip("/") + PATH, body, headers)
                response = self.connection.getresponse()
                content = response.read()
            except (OSError, HTTPException) as error:
                self.connection.close()
                problem: dict[str, object] = {"error": f"{type(error).__name__}: {error}"}
                with self.lock:
                    self.outcome.repeated += attempt + 1 < ATTEMPTS
                self.stop.wait(0.2 * 2**attempt)
                continue
            answer: dict[str, object] = {}
            with suppress(ValueError):
                answer = dict(json.loads(content))
            return str(response.status), answer
        return NO_ANSWER, problem


def _connect(url: str) -> HTTPConnection:
    parts = urlsplit(url)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=TIMEOUT)
