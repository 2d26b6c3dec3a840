"""The import on the command line: tables, JSON, CSV, exit codes, and files for what was rejected."""

import json

import pytest

from integrity import References, watch
from integrity.importing.known import check_imports, imports
from tests.command_line import manage, on_screen
from tests.integrity.feeds import nightly, squad, written
from tests.integrity.helpers import contents, declared, execute, registered
from tests.toy.squads import Memo, Squad

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def known():
    imports.register("toy", [nightly()])
    yield
    imports.unregister("toy.nightly")


def run(*words):
    return manage("integrity", "import", "toy.nightly", *words)


def test_a_folder_is_imported(tmp_path):
    done = run(written(tmp_path, [squad(), squad("S", "Elms")]))
    assert (done.code, Squad.objects.count()) == (0, 2)
    assert "toy.nightly.squad clean 2 2 0 0 0 0" in done.words
    assert "Changed: 4 rows. To take it back: manage.py integrity undo" in done.words


def test_a_dry_run_exits_with_1_and_writes_nothing_at_all(tmp_path):
    folder = written(tmp_path, [squad(), squad(name=None)])
    before = contents()
    done = run(folder, "--dry-run")
    assert done.code == 3
    done = run(written(tmp_path, [squad()]), "--dry-run")
    assert done.code == 1
    assert "3 rows would change; nothing was written." in done.words
    assert contents() == before
    assert sorted(path.name for path in folder.iterdir()) == ["circuits.json", "squads.json"]


def test_rejected_rows_are_shown_and_go_to_a_file_beside_the_files(tmp_path):
    done = run(written(tmp_path, [squad(), squad(founded="soon")]))
    assert done.code == 3
    assert "squads.json 2 1 founded soon is no date such as 2030-01-31" in done.words
    (path,) = tmp_path.glob("rejected-*.jsonl")
    assert str(path) in done.words
    assert json.loads(path.read_text())["field"] == "founded"


def test_the_file_of_rejected_rows_can_be_named(tmp_path):
    run(written(tmp_path, [squad(name="")]), "--rejects", tmp_path / "wrong.jsonl")
    assert (tmp_path / "wrong.jsonl").exists()


def test_json_is_one_object_with_the_keys_of_the_contract_and_the_feeds(tmp_path):
    done = run(written(tmp_path, [squad(), squad(name="")]), "--format", "json")
    told = done.json
    assert told.keys() >= {"run", "verb", "status", "rules", "changes"}
    assert (told["verb"], told["status"], told["import"]) == ("import", "partial", "toy.nightly")
    assert told["feeds"][1] | {"notes": []} == {
        "feed": "toy.nightly.squad",
        "rows": 2,
        "inserted": 1,
        "updated": 0,
        "unchanged": 0,
        "deactivated": 0,
        "rejected": 1,
        "renamed": 0,
        "fields": {},
        "notes": [],
    }
    assert told["rejected"][0]["reason"] == "is empty"


def test_csv_has_a_line_for_each_rejected_row_or_each_feed(tmp_path):
    lines = run(written(tmp_path, [squad()]), "--format", "csv").out.splitlines()
    assert lines[1:] == ["toy.nightly.circuit,clean,2,2,0,0,0,0", "toy.nightly.squad,clean,1,1,0,0,0,0"]
    lines = run(written(tmp_path, [squad(name="")]), "--format", "csv").out.splitlines()
    assert lines[1].endswith("squads.json,1,1,name,,is empty")


def test_a_gate_that_fails_is_told_and_exits_with_3(tmp_path):
    squads = [squad(name=f"Squad {i}") for i in range(30)]
    run(written(tmp_path, squads))
    done = run(written(tmp_path, squads[:9]))
    assert done.code == 3
    assert "21 of 30 rows of toy_squad are not in the feed" in done.words


def test_only_a_part_is_imported(tmp_path):
    assert run(written(tmp_path, [squad(), squad("S", "Elms")]), "--only", "S").code == 0
    assert Squad.objects.get().name == "Elms"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere does not exist."),
        ([".", "--batch-size", "0"], "at least 1 row"),
        ([".", "--error-budget", "-1"], "at least 0 rows"),
        ([".", "--error-budget", "few"], "invalid int value: 'few'"),
    ],
)
def test_what_means_nothing_exits_with_2(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(written(tmp_path, []))
    done = run(*words)
    assert done.code == 2
    assert message in done.words


def test_an_unknown_import_lists_the_known_ones(tmp_path):
    done = manage("integrity", "import", "toy.weekly", tmp_path)
    assert done.code == 2
    assert "Unknown import 'toy.weekly'. Known:" in done.words
    assert "toy.nightly" in done.words


def test_somebody_at_a_terminal_sees_the_plan_and_is_asked(tmp_path):
    words = ("integrity", "import", "toy.nightly", written(tmp_path, [squad()]))
    done = on_screen(*words, answer="n\n")
    assert (done.code, Squad.objects.count()) == (1, 0)
    assert "Nothing was written." in done.words
    assert on_screen(*words, answer="y\n").code == 0
    assert Squad.objects.count() == 1


def test_undo_takes_it_back_on_the_command_line(tmp_path):
    told = run(written(tmp_path, [squad()]), "--format", "json").json
    assert manage("integrity", "undo", told["run"]).code == 0
    assert not Squad.objects.exists()


def test_runs_list_imports_with_what_became_of_the_rows(tmp_path):
    run(written(tmp_path, [squad()]))
    (listed,) = manage("integrity", "runs", "--verb", "import", "--format", "json").json["runs"]
    assert (listed["status"], listed["outcomes"]) == ("clean", {"inserted": 3})


def test_imports_are_checked_when_django_starts():
    imports.unregister("toy.nightly")
    imports.register("toy", [nightly(squads={"key": ["alias"]})])
    assert [message.id for message in check_imports()] == ["integrity.E004"]


# The watch


def test_the_watch_is_installed_and_lists_what_it_noted():
    with registered(declared(References, Memo, "squad_id", to=Squad)):
        assert manage("integrity", "watch").code == 1
        assert "toy_squad watching" in manage("integrity", "watch", "--install").words
        nothing = manage("integrity", "watch", "--format", "json").json["noted"]
        execute("INSERT INTO toy_circuit (code, name) VALUES ('N', '')")
        execute("INSERT INTO toy_memo (squad_id, text) VALUES (7, '')", SQUAD)
        execute("DELETE FROM toy_squad WHERE id = 7")
        done = manage("integrity", "watch")
        (noted,) = manage("integrity", "watch", "--format", "json").json["noted"]
        assert "memo.squad_id 1" in done.words
        assert "toy_squad missing" in manage("integrity", "watch", "--remove").words
        watch.remove([Squad])
    assert (nothing, done.code) == ([], 1)
    assert (noted["table"], noted["keys"]) == ("toy_squad", ["7"])


SQUAD = """
    INSERT INTO toy_squad (id, circuit_id, name, alias, active, made_at, changed_at)
    SELECT 7, id, 'Oaks', '', true, now(), now() FROM toy_circuit
"""
