"""Imports through the API: files that are sent, what is said of wrong ones, and what became of those before."""

import json
import os
import time

import pytest
from django.contrib.auth.models import Permission
from django.core.files.uploadedfile import SimpleUploadedFile

from integrity import leases
from integrity.apikeys import create_key
from integrity.importing import uploads
from integrity.importing.known import imports
from integrity.models import RejectedRow, Run
from integrity.workers import queue
from integrity.workers.performing import perform
from tests.integrity.feeds import CIRCUITS, imported, nightly, squad, yesterday
from tests.integrity.helpers import contents
from tests.toy.squads import Squad

pytestmark = pytest.mark.django_db
ALL = "/api/imports"


@pytest.fixture(autouse=True)
def known(settings, tmp_path):
    imports.register("toy", [nightly()])
    settings.INTEGRITY = {**settings.INTEGRITY, "UPLOAD_DIR": str(tmp_path / "uploads")}
    yield
    imports.unregister("toy.nightly")


@pytest.fixture
def left(tmp_path):
    """The names of the uploads that are there."""
    return lambda: sorted(path.name for path in (tmp_path / "uploads").iterdir())


@pytest.fixture
def key():
    return {"X-Api-Key": create_key("provider", ["import"], by="ann")[0]}


def file(content, name="rows.json"):
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return SimpleUploadedFile(name, content)


def parts(*squads, **more):
    sent = {"import": "toy.nightly", "circuit": file(CIRCUITS), "squad": file(squads or [squad()])}
    return {name: part for name, part in (sent | more).items() if part is not None}


@pytest.fixture
def send(client, key):
    def post(*squads, wait=True, headers=key, **more):
        return client.post(ALL + ("?wait=1" if wait else ""), parts(*squads, **more), headers=headers)

    return post


def told(response):
    """The field and the message of a problem."""
    (error,) = response.json()["errors"]
    return error["field"], error["message"]


# What is sent


def test_files_are_imported_within_the_request_where_somebody_waits(send, left):
    answer = send(squad(), squad("S", "Elms"), reason="by hand")
    done = answer.json()
    assert (answer.status_code, done["status"], done["inserted"], done["rejected"]) == (200, "clean", 4, 0)
    assert [feed["inserted"] for feed in done["feeds"]] == [2, 2]
    run = Run.objects.get()
    assert (run.pk, run.actor, run.reason) == (done["run"], "key provider", "by hand")
    assert Squad.objects.count() == 2
    assert left() == []


def test_a_part_may_be_called_like_the_file_of_its_feed(send):
    assert send(squad=None, squads=file([squad()])).json()["status"] == "clean"


def test_csv_and_json_lines_are_read_too(send):
    lines = file(b'{"code": "N", "name": "North"}\n', "c.jsonl")
    rows = file(b"circuit,name,id,alias,founded,rating\nN,Oaks,,,,\n", "SQUADS.CSV")
    assert send(circuit=lines, squad=rows).json()["inserted"] == 2


def test_rejected_rows_are_told_with_line_field_value_and_reason(send, left):
    done = send(squad(), squad(founded="soon")).json()
    assert done["status"] == "partial"
    (row,) = done["rejected_rows"]
    assert (row["file"], row["row"], row["field"], row["value"]) == ("squads.json", 2, "founded", "soon")
    assert row["reason"] == "is no date such as 2030-01-31"
    assert left() == []


def test_a_dry_run_writes_nothing(send, key):
    before = contents()
    done = send(dry_run="true").json()
    assert (done["status"], done["inserted"]) == ("violated", 3)
    records = {table: rows for table, rows in contents().items() if table.startswith(("integrity_", "players_rate"))}
    assert contents() == before | records


def test_the_error_budget_of_the_request_counts(send):
    done = send(squad(), squad(founded="soon"), error_budget="0").json()
    assert done["status"] == "refused"
    assert done["error"].startswith("More than 0 rows are wrong, the first: squads.json, line 1 (row 2): founded")
    assert not Squad.objects.exists()


def test_a_part_of_the_feed_is_imported_alone(send):
    assert send(squad(), squad("S", "Elms"), only="S").json()["inserted"] == 3
    assert [s.name for s in Squad.objects.all()] == ["Elms"]


def test_staff_with_the_permission_may_import(client, admin_user, django_user_model):
    client.force_login(admin_user)
    assert client.post(f"{ALL}?wait=1", parts()).json()["actor"] == "admin"
    someone = django_user_model.objects.create_user("clerk", is_staff=True)
    client.force_login(someone)
    assert client.post(f"{ALL}?wait=1", parts()).status_code == 403
    someone.user_permissions.add(Permission.objects.get(codename="import_feed"))
    assert client.post(f"{ALL}?wait=1", parts()).status_code == 200


# Who may


def test_nothing_is_kept_of_what_somebody_sends_who_may_not(client, send, tmp_path):
    assert client.post(ALL, parts()).status_code == 401
    assert send(headers={"X-Api-Key": create_key("other", ["read"], by="ann")[0]}).status_code == 403
    assert send(headers={"X-Api-Key": "wrong"}).status_code == 403
    assert not (tmp_path / "uploads").exists()


def test_staff_need_the_token_of_their_session(admin_user, left):
    from django.test import Client

    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    assert client.post(f"{ALL}?wait=1", parts()).status_code == 403
    assert left() == []
    client.cookies["csrftoken"] = token = "a" * 32
    assert client.post(f"{ALL}?wait=1", parts(), headers={"X-CSRFToken": token}).status_code == 200


# What is wrong with what is sent

CUT_OFF = json.dumps([squad(), squad(name="Elms")]).encode()[:-20]


@pytest.mark.parametrize(
    ("wrong", "field", "message"),
    [
        ({"squad": file([squad()], "squads.xlsx")}, "squad", "ends in .xlsx. Known: .json, .jsonl, .ndjson, .csv"),
        ({"squad": file([squad()], "squads")}, "squad", "has no ending"),
        ({"squad": file([squad()], "squads.csv.gz")}, "squad", "ends in .gz"),
        ({"tennis": file([])}, "tennis", "toy.nightly has no feed 'tennis'. Known: circuit, squad."),
        ({"squad": None}, "squad", "toy.nightly needs a file for its feed squad."),
        ({"squads": file([squad()])}, "squads", "squads and squad are the same feed"),
        ({"squad": file(b"")}, "squad", "squad is empty."),
        ({"squad": file(b" \r\n ")}, "squad", "squad is empty."),
        ({"squad": file(b'[{"name": "a\0b"}]')}, "squad", "NUL character at byte 12"),
        ({"squad": file("[]".encode("utf-16"))}, "squad", "holds a NUL character"),
        ({"squad": file("name\nJosé".encode("latin-1"), "a.csv")}, "squad", "is not UTF-8, near byte 9. Save it"),
        ({"squad": file(CUT_OFF)}, "squad", "squad is cut off at its end. Send it again."),
        ({"squad": file(b'{"name": "a"}\n{"na', "a.jsonl")}, "squad", "squad is cut off at its end."),
        ({"squad": file(b"[{} {}]")}, "squad", "squads.json, line 1: neither a comma nor the end"),
        ({"squad": file(b"a,a\n1,2\n", "a.csv")}, "squad", "The header of squads.csv has 'a' twice."),
        ({"squad": "[]"}, "squad", "Send a file with a file name"),
        ({"squad": [file([squad()]), file([squad()])]}, "squad", "squad was sent twice"),
        ({"import": "toy.daily"}, "import", "Unknown import 'toy.daily'. Known: "),
        ({"import": None}, "import", "Field required"),
        ({"import": ["toy.nightly", "toy.nightly"]}, "import", "import was sent more than once."),
        ({"import": "a\0b"}, "import", "without NUL"),
        ({"error_budget": "many"}, "error_budget", "valid integer"),
        ({"error_budget": "-1"}, "error_budget", "greater than or equal to 0"),
        ({"batch_size": "0"}, "batch_size", "greater than or equal to 1"),
        ({"dry_run": "perhaps"}, "dry_run", "valid boolean"),
        ({"colour": "red"}, "colour", "no member of this request"),
    ],
)
def test_whatever_is_wrong_is_named(send, left, tmp_path, wrong, field, message):
    answer = send(**wrong)
    found = told(answer)
    assert answer.status_code == 422
    assert found[0] == field
    assert message in found[1]
    assert str(tmp_path) not in answer.content.decode()
    assert not Squad.objects.exists()
    assert left() == []


def test_an_import_without_parts_is_asked_for_none(send):
    imports.unregister("toy.nightly")
    imports.register("toy", [nightly(squads={"part": None})])
    assert told(send(only="N")) == ("only", "No feed of toy.nightly declares a part: leave it out.")


def test_a_request_that_is_too_large_is_not_read(send, settings, left, tmp_path):
    settings.INTEGRITY = {**settings.INTEGRITY, "UPLOAD_BYTES": 500}
    answer = send(squad(name="x" * 500))
    assert answer.status_code == 413
    assert "at most 500 bytes" in answer.json()["detail"]
    assert not (tmp_path / "uploads").exists()


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{}", "application/json", 415),
        (b"nothing", "multipart/form-data; boundary=x", 422),
        (b"", "multipart/form-data; boundary=x", 415),
        (b"nothing", "multipart/form-data", 400),
        (
            b'--x\r\nContent-Disposition: form-data; name="squad"; filename="a.json"\r\n\r\n[',
            "multipart/form-data; boundary=x",
            422,
        ),
        (
            b"--x\r\n" + b'Content-Disposition: form-data; name="a"\r\n\r\n1\r\n--x\r\n' * 1001,
            "multipart/form-data; boundary=x",
            400,
        ),
        (
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 3_000_000 + b"\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
            413,
        ),
    ],
)
def test_a_request_that_cannot_be_read_is_a_problem(client, key, body, content_type, status):
    answer = client.post(f"{ALL}?wait=1", body, content_type=content_type, headers=key)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize(
    "name", ["../../evil.json", "/etc/passwd.json", "a/../../b.json", "..\\b.json", "é\u202e.json"]
)
def test_names_of_senders_are_no_paths(send, left, tmp_path, name):
    assert send(squad=file([squad()], name)).json()["status"] == "clean"
    assert [path.name for path in tmp_path.rglob("*")] == ["uploads"]


def test_a_folder_that_others_may_enter_keeps_nothing(send, tmp_path):
    (tmp_path / "uploads").mkdir(mode=0o755)
    answer = send()
    assert answer.status_code == 503
    assert "chmod 700" in answer.json()["detail"]


# Two at once, and by a worker


def test_the_second_one_is_told_who_imports(send, left):
    run, _ = leases.take([("toy.nightly.squad", "")], "import", actor="ann", options={}, keys=None)
    for wait in (True, False):
        answer = send(wait=wait)
        assert answer.status_code == 409
        assert f"Run {run.pk} (import by ann on " in answer.json()["detail"]
    assert left() == []


def test_a_worker_imports_what_nobody_waits_for(client, key, send, left, tmp_path):
    answer = send(squad(founded="soon"), squad(), wait=False)
    place, waiting = answer["Location"], answer.json()
    assert (answer.status_code, waiting["status"], waiting["import"]) == (202, "queued", "toy.nightly")
    assert len(left()) == 1
    assert told_busy(send) == 409
    assert perform(waiting["run"]) == "partial"
    assert left() == []
    done = client.get(place, headers=key).json()
    assert (done["run"], done["status"], done["inserted"], done["rejected"]) == (waiting["run"], "partial", 3, 1)
    assert done["rejected_rows"][0]["file"] == "squads.json"


def told_busy(send):
    answer = send(wait=False)
    assert "waits for a worker" in answer.json()["detail"]
    return answer.status_code


def test_without_workers_one_is_told_to_wait(send, monkeypatch, left):
    monkeypatch.setattr(queue, "APP", "not.installed")
    assert told(send(wait=False)) == (
        "wait",
        "No worker processes are set up here. Ask with ?wait=1 to import within the request.",
    )
    assert left() == []


def test_what_a_killed_process_has_left_is_swept_away(left, tmp_path):
    upload, other = uploads.Upload(), uploads.Upload()
    for one in (upload, other):
        one.receive("squad", "a.json").close()
        os.utime(one.folder, (0, time.time() - 3_600))
    # A process that is killed closes what it has open.
    os.close(upload._lock)
    upload._lock = -1
    assert uploads.sweep() == 1
    assert left() == [other.folder.name]


def test_what_a_run_waits_for_is_not_swept_away(send, left):
    number = send(wait=False).json()["run"]
    (folder,) = uploads.home().iterdir()
    os.utime(folder, (0, 0))
    assert uploads.sweep() == 0
    Run.objects.filter(pk=number).update(status="refused")
    assert uploads.sweep() == 1


# What became of those before


def test_imports_are_listed_the_latest_first(client, key):
    yesterday()
    Run.objects.create(verb="repair", status="clean", actor="x", database="default", keys=None, **_times())
    imported(squad())
    found = client.get(f"{ALL}?limit=1&import=toy.nightly", headers=key).json()
    (last,) = found["imports"]
    assert (last["inserted"], last["deactivated"], last["status"]) == (1, 7, "clean")
    (before,) = client.get(found["next"], headers=key).json()["imports"]
    assert before["import"] == "toy.nightly"
    assert (before["inserted"], before["updated"], before["seconds"] >= 0) == (9, 0, True)
    assert client.get(f"{ALL}?status=failed", headers=key).json() == {"imports": [], "next": None}


def _times():
    from django.utils import timezone

    return {"host": "h", "pid": 1, "started_at": timezone.now(), "heartbeat_at": timezone.now()}


def test_an_import_tells_what_differed_and_what_referred_to_its_tables(client):
    yesterday()
    report = imported(*(squad(name=f"Squad {i}", id=i, alias="a" if i % 2 else "") for i in range(1, 6)))
    headers = {"X-Api-Key": create_key("monitor", ["read"], by="ann")[0]}
    found = client.get(f"{ALL}/{report.run}", headers=headers).json()
    circuits, squads = found["feeds"]
    assert squads["fields"] == {"alias": 3}
    assert (squads["updated"], squads["deactivated"], squads["unchanged"]) == (3, 2, 2)
    assert circuits["unchanged"] == 2
    (snapshot,) = [one for one in found["snapshots"] if one["table"] == "toy_squad"]
    assert (snapshot["rows"], snapshot["rows_after"], snapshot["keys"]) == (7, 7, 7)
    assert {"table", "columns", "rows", "dangling"} <= set(snapshot["references"][0])


def test_rejected_rows_are_told_page_by_page(client, key):
    report = imported(*(squad(name=f"S{i}", founded="soon") for i in range(5)), circuits=[*CIRCUITS, {"code": None}])
    first = client.get(f"{ALL}/{report.run}?limit=3&feed=toy.nightly.squad", headers=key).json()
    second = client.get(first["next"], headers=key).json()
    rows = [row["row"] for row in first["rejected_rows"] + second["rejected_rows"]]
    assert (rows, second["next"]) == ([1, 2, 3, 4, 5], None)
    assert RejectedRow.objects.count() > 5


def test_another_run_is_no_import(client, key):
    run = Run.objects.create(verb="repair", status="clean", actor="x", database="default", keys=None, **_times())
    assert client.get(f"{ALL}/{run.pk}", headers=key).status_code == 404
    assert client.get(f"{ALL}/999", headers=key).status_code == 404
    assert client.get(ALL).status_code == 401
