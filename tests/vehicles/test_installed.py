"""The audit's triggers and functions come and go with the migrations."""

import pgtrigger
import pytest
from django.core.management import call_command
from django.db import connection

from tests.vehicles.factories import make_vehicle
from vehicles.models import MileageChange

OURS = "SELECT proname FROM pg_proc WHERE proname = ANY(%s) ORDER BY 1"


def functions():
    ours = [(model, trigger) for model, trigger in pgtrigger.registered() if model._meta.app_label == "vehicles"]
    with connection.cursor() as cursor:
        cursor.execute(OURS, [[trigger.get_pgid(model) for model, trigger in ours]])
        return [name for (name,) in cursor.fetchall()]


@pytest.mark.django_db(transaction=True)
def test_nothing_of_the_audit_is_left_and_everything_comes_back():
    before = functions()
    assert before
    make_vehicle([1000], current_mileage_override=5)
    try:
        call_command("migrate", "vehicles", "zero", verbosity=0)
        assert functions() == []
    finally:
        call_command("migrate", verbosity=0)
    assert functions() == before
    make_vehicle([1000])
    assert MileageChange.objects.get().new == 1000
