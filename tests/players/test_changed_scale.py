"""A thousand changed riders of a history of 10,000,000 rows: what has changed is answered as everything is.

``HISTORY_ROWS=500000 pytest -m scale -s tests/players/test_changed_scale.py`` is smaller, and prints what it takes.
"""

import os
import time
from fractions import Fraction

import pytest
from django.db import connection

from integrity.engine import analyze
from integrity.models import Violation
from integrity.registry import registry
from tests.benchmarks.jobs import DRIFT
from tests.benchmarks.world import World, load
from tests.integrity.helpers import execute

pytestmark = [pytest.mark.scale, pytest.mark.django_db(transaction=True)]

HOURS = 50
PLAYERS = int(os.environ.get("HISTORY_ROWS", "10000000")) // HOURS
STEP = PLAYERS // 1_000
# Of a thousand players a third change as correct writers change them, a third lose an hour, and a third gain one twice.
THIRD = STEP * 3
RIGHT = f"""
    UPDATE players_hourlymetric SET distance_km = distance_km + 1 WHERE id <= {PLAYERS} AND player_id % {THIRD} = 0;
    UPDATE players_player SET distance_total = distance_total + 1 WHERE id % {THIRD} = 0
"""
LOST = f"DELETE FROM players_hourlymetric WHERE id <= {PLAYERS} AND player_id % {THIRD} = {STEP}"
TWICE = f"""
    INSERT INTO players_hourlymetric (player_id, device_id, hour, distance_km, is_adjustment)
    SELECT id, 1, timestamptz '2040-01-01' + h * interval '1 hour', 1, false
    FROM players_player, generate_series(1, 2) AS h WHERE id % {THIRD} = {2 * STEP}
"""


@pytest.fixture
def rule():
    try:
        load(World(Fraction(PLAYERS, 20_000), HOURS))
        yield registry.get("players.mileage_adds_up")
    finally:
        execute("DROP TABLE IF EXISTS kept, kept_players")


def looked(rule, **how):
    started = time.perf_counter()
    report = analyze([rule], sample=10_000, **how).rules[0]
    print(f"{how or 'everything'}: {time.perf_counter() - started:.3f} s")  # noqa: T201
    assert not report.error, report.error
    return report


def test_a_thousand_changed_keys_of_a_long_history_are_told_as_by_a_look_at_everything(rule):
    assert looked(rule).violations == 0
    execute(RIGHT, LOST, TWICE)
    changed = looked(rule, changed=True)
    stored = set(Violation.objects.filter(status="open").values_list("key__id", flat=True))
    with connection.cursor() as cursor:
        cursor.execute(DRIFT)
        by_hand = {key for key, *_ in cursor.fetchall()}
    everything = looked(rule)
    assert (changed.changed, everything.unnoticed) == (1_000, 0)
    assert stored == by_hand == {finding.key[0] for finding in everything.sample}
    assert len(stored) == changed.violations == 667
