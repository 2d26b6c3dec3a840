"""Reports as bikes send them, one by one or from many threads, and what must hold afterwards."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier

from django.db import connection
from django.db.models import Count

from integrity.engine import analyze
from integrity.registry import registry
from players.models import ApiKey, Device, HourlyMetric, OpenSession, Player
from players.recording import Answer, Report, update_data

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
GLOBAL = ApiKey(name="global", prefix="test")


def ride(
    player: Player,
    device: Device,
    km: str | int | Decimal = 1,
    at: float | datetime | None = None,
    key: str | None = None,
) -> Answer:
    """Report so many kilometres, `at` so many minutes after noon (now without it)."""
    when = NOON + timedelta(minutes=at) if isinstance(at, int | float) else at
    clock = {"clock": lambda: when} if when else {}
    return update_data(Report(player.id_tag, device.name, Decimal(km)), GLOBAL, key, **clock)


def history(player: Player) -> list[tuple[str, int, Decimal]]:
    """(device, hour of the day, km), in order."""
    rows = HourlyMetric.objects.filter(player=player).order_by("hour", "device__name")
    return [(row.device.name, row.hour.hour, row.distance_km) for row in rows.select_related("device")]


def in_flight(player: Player) -> Decimal | None:
    session = OpenSession.objects.filter(player=player).first()
    return session.distance_km - session.flushed_km if session else None


def at_once(*jobs: Callable[[], object]) -> list[object]:
    """Run jobs in threads with connections of their own, started together; their results or exceptions."""
    together = Barrier(len(jobs))

    def work(job: Callable[[], object]) -> object:
        try:
            together.wait(timeout=20)
            return job()
        except Exception as error:  # noqa: BLE001  (the test looks at it)
            return error
        finally:
            connection.close()

    with ThreadPoolExecutor(len(jobs)) as threads:
        return list(threads.map(work, jobs))


def assert_true_to_rules(*labels: str) -> None:
    """Every rule of the app is clean, and no hour stands twice in history."""
    report = analyze(registry.select(labels or ["players"]))
    assert report.status == "clean", [(rule.rule, rule.violations, rule.sample) for rule in report.rules]
    twice = HourlyMetric.objects.values("player", "device", "hour", "is_adjustment").annotate(n=Count("id"))
    assert not twice.filter(n__gt=1).exists()


def results(answers: Sequence[object], kind: type) -> list:
    return [answer for answer in answers if isinstance(answer, kind)]
