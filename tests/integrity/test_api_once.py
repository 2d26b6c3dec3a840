"""The Idempotency-Key: a request that came twice is answered twice and carried out once."""

from datetime import timedelta

import pytest
from django.test.client import MULTIPART_CONTENT
from django.utils import timezone

from integrity import engine
from integrity.apikeys import SCOPES, create_key
from integrity.importing.known import imports
from integrity.models import Change, KeptAnswer, Run
from integrity.registry import registry
from tests.integrity.feeds import nightly, squad
from tests.integrity.test_import_api import parts
from tests.players.factories import make_player

pytestmark = pytest.mark.django_db
RULE = "players.mileage_adds_up"


@pytest.fixture
def send(client):
    own = create_key("nightly", SCOPES, by="ann")[0]

    def post(path, body, again="a", *, key=own, content_type="application/json"):
        headers = {"X-Api-Key": key, "Idempotency-Key": again}
        return client.post(f"/api/{path}", body, headers=headers, content_type=content_type)

    return post


@pytest.fixture
def asked():
    wrong = make_player(stored=7, rides=[4])
    return {"rules": [RULE], "strategy": "recalculate_from_player", "keys": [wrong.pk], "reason": "lost"}


def refused(answer, status, sentence):
    body = answer.json()
    assert (answer.status_code, [error["field"] for error in body["errors"]]) == (status, ["Idempotency-Key"]), body
    assert sentence in body["detail"]


def test_the_same_repair_again_gets_the_same_run_and_writes_nothing(send, asked):
    first, second = (send("integrity/repair", asked) for _ in range(2))
    assert (first.status_code, first.json()["changes"]) == (200, 1)
    assert (second.status_code, second.json()) == (200, first.json())
    assert (Run.objects.filter(verb="repair").count(), Change.objects.count()) == (1, 1)


def test_what_was_put_off_is_told_again_with_its_place(send, asked):
    run = engine.analyze([registry.get(RULE)]).run
    Run.objects.get(pk=run).results.update(seconds=45)
    first, second = (send("integrity/analyze", {"rules": [RULE]}) for _ in range(2))
    assert (second.status_code, second["Location"]) == (202, first["Location"])
    assert Run.objects.count() == 2


def test_another_request_with_the_same_key_is_a_conflict(send, asked):
    send("integrity/repair", asked)
    refused(send("integrity/repair", asked | {"reason": "other"}), 409, "take a new one")
    refused(send("integrity/analyze", {"rules": [RULE]}), 409, "take a new one")
    assert Run.objects.filter(verb="repair").count() == 1


def test_keys_of_others_are_other_keys(send, asked):
    send("integrity/analyze", {"rules": [RULE]})
    assert send("integrity/analyze", {}, key=create_key("other", SCOPES, by="ann")[0]).status_code == 200


def test_after_a_day_a_key_is_a_new_one(send, asked):
    send("integrity/repair", asked)
    KeptAnswer.objects.update(at=timezone.now() - timedelta(hours=25))
    assert send("integrity/repair", asked).json()["changes"] == 0
    assert KeptAnswer.objects.count() == 1


def test_what_was_refused_may_be_sent_again(send, asked):
    assert send("integrity/repair", asked | {"strategy": "nope"}).status_code == 422
    assert not KeptAnswer.objects.exists()
    assert send("integrity/repair", asked).status_code == 200


def test_while_the_first_is_at_work_the_second_waits_and_goes_on_with_what_a_dead_one_left(send, asked):
    send("integrity/repair", asked)
    KeptAnswer.objects.update(status=None)
    refused(send("integrity/repair", asked), 409, "still at work")
    KeptAnswer.objects.update(at=timezone.now() - timedelta(minutes=2))
    assert send("integrity/repair", asked).json()["changes"] == 0


@pytest.mark.parametrize("again", ["", "x" * 201])
def test_a_key_has_a_sensible_length(send, again):
    refused(send("integrity/analyze", {}, again), 422, "1 to 200")


def test_files_are_imported_once_and_other_files_with_the_same_key_are_a_conflict(send, settings, tmp_path):
    settings.INTEGRITY = {**settings.INTEGRITY, "UPLOAD_DIR": str(tmp_path)}
    imports.register("toy", [nightly()])
    try:
        first, second = (send("imports?wait=1", parts(), content_type=MULTIPART_CONTENT) for _ in range(2))
        assert (first.status_code, second.json()) == (200, first.json())
        refused(send("imports?wait=1", parts(squad(2)), content_type=MULTIPART_CONTENT), 409, "take a new one")
    finally:
        imports.unregister("toy.nightly")
    assert (Run.objects.filter(verb="import").count(), list(tmp_path.iterdir())) == (1, [])
