"""Rows that are wrong: each is told with its field, value and reason, and stops nothing else."""

import errno
import json
import os
from pathlib import Path

import pytest

from integrity.models import RejectedRow
from tests.integrity.feeds import counts, imported, nightly, squad
from tests.integrity.helpers import contents
from tests.toy.squads import Circuit, Squad

pytestmark = pytest.mark.django_db

WRONG = [
    (squad(name=None), "name", None, "is missing"),
    (squad(name=""), "name", "", "is empty"),
    (squad(name="x" * 31), "name", "x" * 31, "is longer than 30 characters"),
    (squad(id="seven"), "id", "seven", "is no whole number"),
    (squad(id=2**40), "id", str(2**40), "is no whole number"),
    (squad(id=True), "id", "t", "is no whole number"),
    (squad(founded="2001-02-30"), "founded", "2001-02-30", "is no date such as 2030-01-31"),
    (squad(founded="today"), "founded", "today", "is no date such as 2030-01-31"),
    (squad(rating="4.567"), "rating", "4.567", "has more than 2 decimals"),
    (squad(rating="NaN"), "rating", "NaN", "is no numeric(5, 2)"),
    (squad(alias=["O"]), "alias", '["O"]', "one value is wanted, this is a list"),
    (squad(circuit=None), "circuit", None, "is missing, and circuit needs it"),
    (squad("X"), "circuit", "X", "refers to nothing: toy.Circuit has no such row"),
]


@pytest.mark.parametrize(("row", "field", "value", "reason"), WRONG, ids=[f"{f}: {r}" for _, f, _, r in WRONG])
def test_a_wrong_row_is_rejected_with_its_reason_and_the_others_are_imported(row, field, value, reason):
    report = imported(row, squad(name="Elms"))
    assert (report.status, report.exit_code, counts(report)) == ("partial", 3, (1, 0, 0, 0, 1))
    (found,) = RejectedRow.objects.filter(run=report.run)
    assert (found.line, found.field, found.value, found.reason) == (1, field, value, reason)
    assert Squad.objects.get().name == "Elms"


def test_a_missing_field_is_told_by_name():
    row = squad()
    del row["alias"]
    report = imported(row)
    assert [(r.field, r.reason) for r in report.rejects] == [("alias", "the row has no such field")]


def test_a_field_that_is_optional_may_be_missing():
    row = squad()
    del row["alias"]
    assert imported(row, wanted=nightly(squads={"optional": ["alias"]})).status == "clean"


def test_what_the_database_refuses_is_rejected_alone():
    report = imported(*(squad(name=f"Squad {i}", rating=-1 if i == 11 else i) for i in range(40)))
    assert counts(report) == (39, 0, 0, 0, 1)
    (found,) = report.rejects
    assert found.line == 12
    assert "toy_no_rating_below_zero" in found.reason


def test_a_key_that_the_feed_has_twice_imports_neither():
    report = imported(squad(alias="A"), squad(name="Elms"), squad(alias="B"))
    assert [(r.line, r.reason) for r in report.rejects] == [
        (1, "another row of the feed has the same key"),
        (3, "another row of the feed has the same key"),
    ]
    assert Squad.objects.get().name == "Elms"


def test_a_repetition_of_which_one_says_what_is_stored_is_rejected_too():
    imported(squad(alias="A"), squad(name="Elms"), squad(name="Pines"))
    report = imported(squad(alias="A"), squad(name="Elms"), squad(name="Pines"), squad(alias="B"))
    assert [r.line for r in report.rejects] == [4]
    assert Squad.objects.get(name="Oaks").alias == "A"


@pytest.mark.parametrize(
    ("others", "wanted"),
    [
        pytest.param([squad(name="Elms")], {}, id="one has gone"),
        pytest.param([squad(name="Elms"), squad(name="Gone")], {}, id="one has gone and one is back"),
        pytest.param([squad(name="Elms"), squad(name="New")], {}, id="one has gone and one is new"),
        pytest.param([squad(name="Elms"), squad(name="Pines", rating="much")], {}, id="another one is rejected"),
        pytest.param([squad(name="Elms"), squad(name="Gone")], {"returned": {}}, id="one is back and not marked so"),
        pytest.param([squad(name="Elms")], {"vanished": "keep"}, id="none is ever marked as gone"),
    ],
)
def test_a_repetition_is_rejected_whatever_becomes_of_the_others(others, wanted):
    imported(squad(alias="A"), squad(name="Elms"), squad(name="Pines"), squad(name="Gone"))
    imported(squad(alias="A"), squad(name="Elms"), squad(name="Pines"))
    report = imported(squad(alias="A"), *others, squad(alias="B"), wanted=nightly(squads=wanted))
    assert [r.line for r in report.rejects if "same key" in r.reason] == [len(others) + 2]
    assert Squad.objects.get(name="Oaks").alias == "A"


def test_a_number_that_two_rows_have_rejects_the_second():
    report = imported(squad(id=1), squad(name="Elms", id=1))
    assert counts(report) == (1, 0, 0, 0, 1)
    assert "toy_squad_number" in report.rejects[0].reason


def test_more_wrong_rows_than_the_budget_import_nothing():
    before = contents()
    report = imported(squad(), squad(name=None), squad(name=None), error_budget=1)
    assert (report.status, report.exit_code, report.changes) == ("refused", 3, 0)
    assert "More than 1 rows are wrong" in report.error
    assert contents() == before
    assert RejectedRow.objects.filter(run=report.run).count() == 2


def test_a_parent_that_is_rejected_rejects_its_children():
    report = imported(squad("N"), squad("S"), circuits=[{"code": "N" * 11, "name": ""}, {"code": "S", "name": ""}])
    assert [(r.feed, r.field) for r in report.rejects] == [
        ("toy.nightly.circuit", "code"),
        ("toy.nightly.squad", "circuit"),
    ]
    assert Squad.objects.get().circuit == Circuit.objects.get()


def test_rejected_rows_go_to_a_file(tmp_path):
    report = imported(squad(name=None), rejects=tmp_path / "rejected.jsonl")
    (line,) = (tmp_path / "rejected.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "feed": "toy.nightly.squad",
        "file": "squad",
        "row": 1,
        "line": 1,
        "field": "name",
        "value": None,
        "reason": "is missing",
    }
    assert report.rejects_file == str(tmp_path / "rejected.jsonl")


def test_no_file_is_written_where_nothing_is_rejected(tmp_path):
    imported(squad(), rejects=tmp_path / "rejected.jsonl")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_imports_nothing(tmp_path):
    # A name beside the file is written first; here it leads to a device that is always full.
    (tmp_path / f".rejected.jsonl.{os.getpid()}").symlink_to("/dev/full")
    before = contents()
    report = imported(squad(), squad(name=None), rejects=tmp_path / "rejected.jsonl")
    assert (report.status, report.exit_code) == ("failed", 3)
    assert os.strerror(errno.ENOSPC) in report.error
    assert contents() == before
    assert not list(tmp_path.iterdir())
    assert RejectedRow.objects.filter(run=report.run).count() == 1
