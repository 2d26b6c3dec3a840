"""What became of rows, counted in the words of the repair: in the report, in its record and over a resumed run."""

import pytest

from integrity import Clear, References
from integrity.models import Result
from integrity.rendering.machine import report_object
from tests.integrity.helpers import declared, execute, repaired
from tests.integrity.test_unique import keep_one, make_entries, unique
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def make_orphans(number):
    """Mentions of postings that have gone behind the database's back."""
    execute("SET LOCAL session_replication_role = replica")
    toy.Mention.objects.bulk_create(toy.Mention(posting_id=900 + i) for i in range(number))
    execute("SET LOCAL session_replication_role = origin")


def clear():
    toy.Ledger.objects.create(total=1).postings.create(amount=1)
    return declared(References, toy.Mention, "posting", repairs={"clear": Clear()})


def test_nullified_references_are_counted():
    make_orphans(3)
    assert repaired(clear()).rules[0].outcomes == {"nullified": 3}


def test_deleted_repetitions_are_counted_apart_from_what_is_pointed_elsewhere():
    entries = make_entries(5, 5, 5)
    toy.Part.objects.create(entry=entries[1])
    report = keep_one(unique(toy.Entry, ["account", "amount"], keep="id"))
    assert (report.changes, report.rules[0].outcomes) == (3, {"deleted": 2})


def test_a_dry_run_counts_what_would_become_of_rows():
    make_orphans(2)
    assert repaired(clear(), dry_run=True).rules[0].outcomes == {"nullified": 2}


def test_the_record_of_a_run_has_the_outcomes(settings):
    settings.INTEGRITY = {"BATCH_KEYS": 1}
    make_orphans(2)
    report = repaired(clear())
    assert Result.objects.get(run=report.run).outcomes == {"nullified": 2}
    assert report_object(report)["rules"][0]["outcomes"] == {"nullified": 2}
