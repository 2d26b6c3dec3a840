"""manage.py integrity quarantine and undo --key: what is kept is listed, and put back by its key."""

import csv
import io
import shlex

import pytest

from tests.command_line import manage
from tests.integrity.helpers import registered
from tests.integrity.test_quarantine import make_orphan, orphans, positive
from tests.integrity.test_trim import make_ledger
from tests.toy import models as toy

pytestmark = pytest.mark.django_db


def integrity(*words):
    return manage("integrity", *words)


@pytest.fixture
def kept():
    """Two orphans in quarantine: (rule, run, the first of them)."""
    first, rule = make_orphan("one", quantity=7), orphans()
    make_orphan("two")
    with registered(rule):
        done = integrity("repair", rule.label, "--reason", "their lines are gone", "--format", "json")
        assert done.json["rules"][0]["outcomes"] == {"quarantined": 2}
        yield rule, done.json["run"], first


def test_an_empty_quarantine_says_so():
    assert integrity("quarantine").out.strip() == "Nothing is in quarantine."


def test_the_table_tells_rule_key_run_and_reason_and_the_way_back(kept):
    rule, run, first = kept
    done = integrity("quarantine")
    assert done.code == 0
    for told in (rule.label, f"id {first.pk}", "their lines are gone", "toy_shipment"):
        assert told in done.out
    assert f"manage.py integrity undo {run} --rule {rule.label} --key {first.pk}" in done.out


def test_json_has_the_whole_row(kept):
    rule, run, first = kept
    answer = integrity("quarantine", rule.label, "--format", "json").json
    assert {"run", "verb", "status", "rules", "changes"} <= answer.keys()
    assert (answer["verb"], answer["total"], len(answer["rows"])) == ("quarantine", 2, 2)
    row = answer["rows"][0]
    assert (row["rule"], row["key"], row["run"], row["reason"]) == (
        rule.label,
        {"id": str(first.pk)},
        run,
        "their lines are gone",
    )
    assert row["values"] == {"id": str(first.pk), "order": "one", "number": "1", "quantity": "7"}


def test_csv_has_a_line_for_each_row(kept):
    rows = list(csv.DictReader(io.StringIO(integrity("quarantine", "--format", "csv").out)))
    assert [row["table"] for row in rows] == ["toy_shipment", "toy_shipment"]


def test_a_limited_list_says_how_many_more_there_are(kept):
    assert "... and 1 more" in integrity("quarantine", "--limit", "1").out


def test_the_printed_way_back_works_and_says_that_the_rule_is_broken_again(kept):
    way = integrity("quarantine").out.strip().rpartition("manage.py integrity ")[2]
    done = integrity(*shlex.split(way))
    assert (done.code, toy.Shipment.objects.get().order) == (1, "one")
    assert "violated" in done.out


def test_a_row_that_holds_the_rule_again_comes_back_with_exit_code_0(kept):
    _, run, first = kept
    toy.Line.objects.create(order="one", number="1")
    done = integrity("undo", str(run), "--key", str(first.pk), "--format", "json")
    assert (done.code, done.json["changes"], done.json["rules"][0]["violations"]) == (0, 1, 0)


def test_keys_of_a_run_over_several_rules_need_the_rule():
    make_orphan()
    make_ledger(-1, ["-1"])
    one, other = orphans(), positive()
    with registered(one, other):
        run = integrity("repair", one.label, other.label, "--strategy", "quarantine", "--format", "json").json["run"]
        done = integrity("undo", str(run), "--key", "1")
    assert done.code == 2
    assert f"--rule: {', '.join(sorted([one.label, other.label]))}" in done.err


def test_one_rule_of_a_run_is_taken_back():
    make_orphan()
    make_ledger(-1, ["-1"])
    one, other = orphans(), positive()
    with registered(one, other):
        run = integrity("repair", one.label, other.label, "--strategy", "quarantine", "--format", "json").json["run"]
        done = integrity("undo", str(run), "--rule", other.label, "--format", "json")
    assert (done.code, toy.Posting.objects.count(), toy.Shipment.objects.count()) == (0, 1, 0)
