"""What is true of core stats: by the database where it can, and found where somebody passed it by."""

import pytest
from django.contrib.auth import get_user_model
from django.db import IntegrityError, transaction

from integrity.registry import registry
from stats.changing import change
from stats.models import CoreStat, StatHistory
from tests.integrity.helpers import execute, finds

pytestmark = pytest.mark.django_db


@pytest.fixture
def ann():
    return get_user_model().objects.create_user("ann")


def found(name, **options):
    return finds(registry.get(f"stats.{name}"), **options)


def history(stat="strength"):
    return list(StatHistory.objects.filter(stat=stat).order_by("id").values_list("old", "new", "change"))


def test_the_level_follows_the_experience_in_the_row_and_on_the_object(ann):
    made = CoreStat.objects.create(user=ann, experience_points=999)
    assert made.level == 1
    made.experience_points = 1000
    made.save()
    assert made.level == CoreStat.objects.get().level == 2
    CoreStat.objects.update(experience_points=2**31 - 1)
    assert CoreStat.objects.get().level == 2_147_484
    execute("UPDATE stats_corestat SET level = 7")
    assert CoreStat.objects.get().level == 2_147_484
    assert found("level_follows_experience") == {}


@pytest.mark.parametrize("values", ["strength = 0", "wisdom = 101", "charisma = -1", "experience_points = -1"])
def test_the_database_refuses_what_is_out_of_range(ann, values):
    CoreStat.objects.create(user=ann)
    with pytest.raises(IntegrityError, match="check constraint"), transaction.atomic():
        execute(f"UPDATE stats_corestat SET {values}")


def test_a_user_has_one_row(ann):
    CoreStat.objects.create(user=ann)
    with pytest.raises(IntegrityError), transaction.atomic():
        CoreStat.objects.create(user=ann)


def test_every_writer_leaves_an_unbroken_history(ann):
    made = CoreStat.objects.create(user=ann)
    change(ann, {"strength": 20}, by="ann", reason="trained")
    execute("UPDATE stats_corestat SET strength = 25, wisdom = 11")
    made.refresh_from_db()
    made.strength = 5
    made.save()
    CoreStat.objects.update(agility=10)
    assert history() == [(10, 20, 10), (20, 25, 5), (25, 5, -20)]
    assert history("wisdom") == [(10, 11, 1)]
    assert history("agility") == []
    assert StatHistory.objects.order_by("id").first().reason == "trained"
    for rule in ("history_unbroken", "history_ends_at_the_current_value", "change_is_new_minus_old"):
        assert found(rule) == {}


def test_a_row_that_comes_back_goes_on_with_its_history(ann):
    CoreStat.objects.create(user=ann, strength=10)
    CoreStat.objects.update(strength=30)
    CoreStat.objects.all().delete()
    CoreStat.objects.create(user=ann, strength=40)
    assert history() == [(10, 30, 20), (30, 40, 10)]
    assert found("history_ends_at_the_current_value") == {}


def test_a_broken_chain_is_found_whole_and_by_its_key(ann):
    CoreStat.objects.create(user=ann)
    for value in (20, 30, 40):
        CoreStat.objects.update(strength=value)
    first, second, third = StatHistory.objects.order_by("id")
    StatHistory.objects.filter(pk=second.pk).delete()
    assert found("history_unbroken") == {third.pk: (30, 20)}
    assert found("history_unbroken", keys=[(third.pk,)]) == {third.pk: (30, 20)}
    assert found("history_unbroken", keys=[(first.pk,)]) == {}


def test_a_value_that_was_capped_in_silence_is_found(ann):
    """The history tells of 150 and the row has 100: the chain does not end at the current value."""
    made = CoreStat.objects.create(user=ann)
    StatHistory.objects.create(user=ann, stat="strength", old=10, new=150, change=140, reason="cap", by="old app")
    execute("SET CONSTRAINTS ALL IMMEDIATE", "ALTER TABLE stats_corestat DISABLE TRIGGER USER")
    CoreStat.objects.update(strength=100)
    wrong = found("history_ends_at_the_current_value")
    assert list(wrong) == [made.pk]


def test_a_change_that_is_no_difference_is_refused(ann):
    with pytest.raises(IntegrityError, match="change_is_new_minus_old"), transaction.atomic():
        StatHistory.objects.create(user=ann, stat="strength", old=1, new=2, change=2, reason="x", by="y")
