"""Requests per second of update_data, as a share of what a bare view reaches that does the same writes by hand.

The bare view looks the key up, counts the request and moves the totals, by SQL alone; it checks nothing that is sent,
and knows neither hours nor device switches.

Both views run in one server behind the same middleware, first in one process and then in two; rounds alternate, and the
median of the ratios counts. Clients are processes of their own, one rider and one bike each, so that what is compared
is the work of a request and not the wait for a lock. Works in a database of its own, which is dropped at the end.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import socket
import statistics
import time
from contextlib import closing
from typing import Any

GOAL = 0.8
PREFIX = "holdtrue_benchmark_"
ROW = "{:<12} {:>10} {:>14} {:>7} {:>15} {:>6} {:>4}"


# The bare view


def application() -> Any:
    """The WSGI application of the server: the site, and the bare view beside it."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application

    settings.ROOT_URLCONF = "tests.benchmarks.bare"
    return get_wsgi_application()


# The client: as little Python as possible, since it runs on the same processors as the server


def requests(port: int, path: str, key: str, number: int, *, idempotent: bool) -> Any:
    """Send the report of one rider again and again over one connection; yields after each answer."""
    body = json.dumps({"id_tag": f"rider-{number}", "device_id": f"bike {number}", "distance": 0.01}).encode()
    count = 0
    with closing(socket.create_connection(("127.0.0.1", port))) as connection:
        while True:
            count += 1
            again = f"Idempotency-Key: {os.getpid()}-{time.time_ns()}\r\n" if idempotent else ""
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nX-Api-Key: {key}\r\n"
                f"{again}Content-Length: {len(body)}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            answer = connection.recv(65_536)
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(answer[:400])
            while not answer.endswith(b"}"):
                answer = connection.recv(65_536)
            yield count


ready: Any = None


def begin(barrier: Any) -> None:
    """What each client process keeps."""
    global ready  # noqa: PLW0603  (a pool hands a barrier to its processes only when it starts them)
    ready = barrier


def client(port: int, path: str, key: str, number: int, seconds: float, idempotent: bool) -> int:
    """How many requests were answered in so many seconds, after a few that warm up."""
    sent = requests(port, path, key, number, idempotent=idempotent)
    try:
        for _ in range(5):
            next(sent)
    except BaseException:
        ready.abort()
        raise
    ready.wait()
    end, count = time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        next(sent)
        count += 1
    return count


def rate(pool: Any, port: int, path: str, key: str, arguments: argparse.Namespace) -> float:
    """Requests per second of all clients together."""
    jobs = [
        (port, path, key, number, arguments.seconds, arguments.idempotent) for number in range(1, arguments.clients + 1)
    ]
    # One at a time for each process: they wait for each other.
    return float(sum(pool.starmap(client, jobs, chunksize=1)) / arguments.seconds)


# Both


def main() -> None:
    arguments = _arguments()
    from django.core.management import call_command
    from django.db import connection

    name = f"{PREFIX}{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    connection.close()
    stored, connection.settings_dict["NAME"] = connection.settings_dict["NAME"], name
    try:
        call_command("migrate", verbosity=0)
        key = make_world(arguments.clients)
        print(f"{arguments.clients} clients, {arguments.rounds} rounds of {arguments.seconds:g} s")
        print(ROW.format("processes", "bare 1/s", "update_data 1/s", "ratio", "(lowest-highest)", "goal", "met"))
        for workers in (1, 2):
            compare(workers, key, arguments)
        check(arguments.clients)
    finally:
        connection.close()
        connection.settings_dict["NAME"] = stored
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {name} WITH (FORCE)")


def compare(workers: int, key: str, arguments: argparse.Namespace) -> None:
    """Measure both views in turn and print a line."""
    from tests.players.serving import serving

    target = ("--factory", "tests.benchmarks.update_data:application")
    bare, ours = [], []
    barrier = multiprocessing.Barrier(arguments.clients)
    with (
        serving(*target, workers=workers, threads=8, KEY_REQUESTS_PER_MINUTE="1000000000") as server,
        multiprocessing.Pool(arguments.clients, begin, [barrier]) as pool,
    ):
        for _ in range(arguments.rounds):
            bare.append(rate(pool, server.port, "/bare", key, arguments))
            ours.append(rate(pool, server.port, "/api/update_data", key, arguments))
    ratios = sorted(one / other for one, other in zip(ours, bare, strict=True))
    median = statistics.median(ratios)
    print(
        ROW.format(
            workers,
            f"{statistics.median(bare):.0f}",
            f"{statistics.median(ours):.0f}",
            f"{median:.2f}",
            f"({ratios[0]:.2f}-{ratios[-1]:.2f})",
            GOAL,
            "yes" if median >= GOAL else "NO",
        ),
        flush=True,
    )


def make_world(clients: int) -> str:
    """A rider and a bike for each client, each in a class and a school of its own. A global key."""
    from players.keys import create_key
    from players.models import Device, Group, Membership, Player

    for number in range(1, clients + 1):
        school = Group.objects.create(name=f"School {number}", kind="school")
        class_ = Group.objects.create(name=f"Class {number}", parent=school)
        player = Player.objects.create(name=f"Rider {number}", id_tag=f"rider-{number}")
        Membership.objects.create(player=player, group=class_)
        Device.objects.create(name=f"bike {number}", group=class_)
    return create_key("benchmark")[0]


def check(clients: int) -> None:
    """A figure of work that was not done would be a lie."""
    from integrity.engine import analyze
    from integrity.registry import registry
    from players.models import Player

    report = analyze(registry.select(["players"]))
    assert report.status == "clean", report
    assert Player.objects.filter(distance_total__gt=0).count() == clients


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.update_data", description=__doc__)
    parser.add_argument("--clients", type=int, default=8, help="how many bikes report at once (8)")
    parser.add_argument("--rounds", type=int, default=25, help="how often each view is measured (25)")
    parser.add_argument("--seconds", type=float, default=0.5, help="how long each time (0.5)")
    parser.add_argument(
        "--idempotent", action="store_true", help="send an Idempotency-Key, which the bare view keeps too"
    )
    return parser.parse_args()


if __name__ == "__main__":
    from config import embedded_postgres

    embedded_postgres.provide()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    main()
