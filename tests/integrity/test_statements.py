"""The number of statements does not follow the number of rows."""

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from integrity import Unique
from integrity.engine import analyze
from integrity.rebuilding.choose import choose
from integrity.registry import registry
from integrity.repair import repair
from integrity.schema import columns
from integrity.statement import name
from integrity.undo import undo
from players.models import Group, HourlyMetric, Membership, OpenSession, Player
from tests.integrity.helpers import declared
from tests.integrity.worlds import WORLDS
from tests.players.factories import FIRST_HOUR, make_device, make_group
from tests.toy import models as toy

pytestmark = pytest.mark.django_db

# The records of an analysis are written a thousand at a time.
FEW, MANY = 10, 900


def statements(verb, *args, **options):
    with CaptureQueriesContext(connection) as captured:
        verb(*args, **options)
    return len(captured)


def make_players(number):
    """Players in a group, with an hour of history and an open session each; all say 9 where 1 is true."""
    group, device = make_group(), make_device()
    players = Player.objects.bulk_create(
        Player(name="a", id_tag=f"{group.pk}-{i}", distance_total=9) for i in range(number)
    )
    Membership.objects.bulk_create(Membership(player=player, group=group) for player in players)
    HourlyMetric.objects.bulk_create(
        HourlyMetric(player=player, device=device, hour=FIRST_HOUR, distance_km=1) for player in players
    )
    OpenSession.objects.bulk_create(
        OpenSession(player=player, device=device, started_at=FIRST_HOUR, last_activity=FIRST_HOUR) for player in players
    )


def empty():
    for model in (OpenSession, HourlyMetric, Membership, Player, Group, *WORLDS["accounts"].models):
        model._base_manager.all()._raw_delete("default")


@pytest.mark.parametrize("label", ["mileage_adds_up", "group_total_adds_up", "flushed_is_part_of_session"])
def test_an_analysis_of_many_players_takes_as_many_statements_as_one_of_few(label):
    rule = registry.get(f"players.{label}")
    counts = []
    # The first that finds a rule broken also writes the message that it is.
    for number in (FEW, FEW, MANY):
        make_players(number)
        counts.append(statements(analyze, [rule]))
    assert counts[1] == counts[2]


def test_a_repair_takes_so_many_statements_however_many_keys_are_in_a_batch():
    counts = []
    # The names of types are looked up once for each connection: the first repair does not count.
    for number in (FEW, FEW, MANY):
        WORLDS["accounts"].make(number)
        work = [(WORLDS["accounts"].rule, "recompute")]
        counts.append(statements(repair, work, max_affected="100%"))
        empty()
    assert counts[1] == counts[2]


def test_an_undo_takes_so_many_statements_however_many_rows_are_in_a_batch():
    counts = []
    for number in (FEW, MANY):
        WORLDS["accounts"].make(number)
        run = repair([(WORLDS["accounts"].rule, "recompute")], max_affected="100%").run
        counts.append(statements(undo, run))
        empty()
    assert counts[0] == counts[1]


def test_the_planner_is_left_as_it_was_when_equal_rows_were_put_together():
    held = [(column.name, column.type) for column in columns("toy_entry", connection)]
    rule = declared(Unique, toy.Entry, by=["amount"], keep="id")
    with CaptureQueriesContext(connection) as captured:
        choose(rule, name("toy_entry"), held, "default", connection)
    assert any("'enable_sort', 'off'" in query["sql"] for query in captured)
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('enable_sort'), current_setting('parallel_setup_cost')")
        assert cursor.fetchone() == ("on", "1000")
