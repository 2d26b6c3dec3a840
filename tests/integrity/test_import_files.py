"""Files of a feed: JSON, JSON lines and CSV, whole, cut off and malformed."""

import json

import pytest

from integrity.exceptions import UsageError
from integrity.importing import run_import
from integrity.models import RejectedRow
from tests.integrity.feeds import CIRCUITS, counts, imported, nightly, squad, written
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db
CSV = 'id,circuit,name,alias,founded,rating,colour\n7,N,Oaks,,2001-02-03,4.5,red\n,S,"Elms, old",E,,,\n'


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "circuits.json").write_text(json.dumps(CIRCUITS))
    return tmp_path


def stored():
    rows = Squad.objects.order_by("name").values_list("circuit__code", "name", "alias", "number", "founded")
    return [tuple(map(str, row)) for row in rows]


def problems(report):
    return [(r.line, r.field, r.reason) for r in report.rejects]


BOTH = [("S", "Elms, old", "E", "None", "None"), ("N", "Oaks", "", "7", "2001-02-03")]


def test_a_csv_file_is_read(folder):
    (folder / "squads.csv").write_text(CSV)
    assert run_import(nightly(), folder).status == "clean"
    assert stored() == BOTH


def test_a_csv_file_with_a_row_on_two_lines_is_read_with_the_right_lines(folder):
    (folder / "squads.csv").write_text(CSV + '8,N,Pines,"a\nb",,x,\n9,N,Firs,,,y,\n')
    report = run_import(nightly(), folder)
    assert problems(report) == [(4, "rating", "is no numeric(5, 2)"), (6, "rating", "is no numeric(5, 2)")]
    assert stored() == BOTH


def test_a_csv_row_of_another_length_is_rejected_alone(folder):
    (folder / "squads.csv").write_text(CSV + "8,N\n")
    report = run_import(nightly(), folder)
    assert problems(report) == [(4, "", "2 cells where the header has 7")]
    assert stored() == BOTH


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_lines_are_read(folder, mark):
    lines = [squad(id=7, founded="2001-02-03"), squad("S", "Elms, old", alias="E")]
    (folder / "squads.jsonl").write_text(mark + "".join(json.dumps(line) + "\n" for line in lines))
    assert run_import(nightly(), folder).status == "clean"
    assert stored() == BOTH


def test_a_malformed_line_is_rejected_alone(folder):
    (folder / "squads.jsonl").write_text(json.dumps(squad()) + "\n{no}\n" + json.dumps(squad(name="Elms")) + "\n")
    report = run_import(nightly(), folder)
    assert (report.status, report.exit_code, counts(report)) == ("partial", 3, (2, 0, 0, 0, 1))
    assert problems(report)[0][:2] == (2, "")
    assert "no JSON" in RejectedRow.objects.get(run=report.run).reason


def test_the_line_of_a_row_in_a_json_array_is_told(tmp_path):
    written(tmp_path, [])
    (tmp_path / "squads.json").write_text(json.dumps([squad(), squad(name="Elms", founded="soon")], indent=1))
    assert problems(run_import(nightly(), tmp_path)) == [(10, "founded", "is no date such as 2030-01-31")]


@pytest.mark.parametrize("suffix", ["json", "jsonl"])
def test_a_file_that_is_cut_off_imports_nothing(folder, suffix):
    whole = [squad(name=f"Squad {i}") for i in range(9)]
    text = json.dumps(whole) if suffix == "json" else "\n".join(map(json.dumps, whole))
    (folder / f"squads.{suffix}").write_text(text[: len(text) * 2 // 3 - 9])
    report = run_import(nightly(), folder)
    assert report.status == "refused"
    assert "cut off" in report.error
    assert not Squad.objects.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1}', "no JSON array"),
        ("[] []", "goes on after the end"),
        ('[{"a": 1} {"a": 2}]', "neither a comma"),
        ("[1,", "line 1"),
        ("", "no JSON array"),
    ],
)
def test_a_file_that_is_no_array_of_rows_is_refused(folder, text, message):
    (folder / "squads.json").write_text(text)
    report = run_import(nightly(), folder)
    assert report.status == "refused"
    assert message in report.error


@pytest.mark.parametrize(
    ("text", "message"), [("", "no header"), ("id,id\n1,2\n", "'id' twice"), (b"\xff\xfe\x00", "UTF-8")]
)
def test_a_csv_file_without_a_header_is_refused(folder, text, message):
    (folder / "squads.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    report = run_import(nightly(), folder)
    assert report.status == "refused"
    assert message in report.error


def test_a_csv_file_without_a_declared_field_rejects_its_rows(folder):
    (folder / "squads.csv").write_text("id,circuit,name,alias,founded\n7,N,Oaks,,\n")
    assert problems(run_import(nightly(), folder)) == [(2, "rating", "the row has no such field")]


def test_a_folder_without_the_file_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"has no file circuits\.json"):
        run_import(nightly(), tmp_path)


def test_two_files_for_one_feed_are_refused(folder):
    (folder / "squads.csv").write_text(CSV)
    (folder / "squads.json").write_text("[]")
    with pytest.raises(UsageError, match=r"squads\.json and squads\.csv"):
        run_import(nightly(), folder)


def test_a_file_where_a_folder_is_needed_is_refused(folder):
    with pytest.raises(UsageError, match="reads a folder"):
        run_import(nightly(), folder / "circuits.json")


def test_a_row_that_is_no_object_is_rejected():
    report = imported(squad(), [1], "x", None)
    assert [reason for _, _, reason in problems(report)] == [
        "a row has named fields, this is a list",
        "a row has named fields, this is text",
        "a row has named fields, this is null",
    ]
    assert counts(report) == (1, 0, 0, 0, 3)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_text_that_postgresql_cannot_hold_is_rejected(name):
    report = imported(squad(name=name), squad())
    assert problems(report)[0] == (1, "name", "it holds a character that is no text (NUL, or half of a pair)")
    assert Squad.objects.count() == 1


def test_rows_on_one_line_are_told_apart(tmp_path):
    report = run_import(nightly(), written(tmp_path, [squad(name=None), squad(), squad(founded="soon"), squad("X")]))
    assert [(r.row, r.line, r.field) for r in report.rejects] == [(1, 1, "name"), (3, 1, "founded"), (4, 1, "circuit")]
    assert counts(report) == (1, 0, 0, 0, 3)
