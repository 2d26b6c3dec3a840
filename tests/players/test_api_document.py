"""The document of the API is complete, loads nothing from elsewhere, and is what the service does."""

import re

import pytest

from players.keys import create_key
from tests.fuzzing import UNLIMITED, document, fuzz, often, operation, validate
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db
READS = {200, 422, 429, 503}


def operations():
    for path, methods in document()["paths"].items():
        for declared in methods.values():
            if declared["tags"] in (["bikes"], ["reads"]):  # the tests of the other apps ask the same of theirs
                yield path.rsplit("/api/")[-1], declared


def test_every_status_is_documented():
    assert {path: {int(status) for status in declared["responses"]} for path, declared in operations()} == {
        "update_data": {400, 401, 403, 404, 409, 413, 415} | READS,
        "leaderboard": READS | {404},
        "reports/mileage": READS | {404},
        "players/{player_id}": READS | {404},
    }


def test_every_error_has_one_form():
    forms = {
        response["content"]["application/json"]["schema"]["$ref"]
        for _, declared in operations()
        for status, response in declared["responses"].items()
        if int(status) >= 400
    }
    assert forms == {"#/components/schemas/Problem"}
    problem = document()["components"]["schemas"]["Problem"]
    assert problem["required"] == ["type", "title", "status", "detail", "errors"]


def test_every_wait_says_for_how_long():
    for _, declared in operations():
        assert all("Retry-After" in declared["responses"][status]["headers"] for status in (429, 503))


def test_every_parameter_and_member_is_explained():
    for path, declared in operations():
        assert declared["description"]
        assert all("description" in each for each in declared.get("parameters", []) if each["in"] != "path"), path
    members = document()["components"]["schemas"]["ReportIn"]["properties"]
    assert all("description" in member for member in members.values())


def test_it_says_who_may_ask():
    assert {path: bool(declared.get("security")) for path, declared in operations()} == {
        "update_data": True,
        "leaderboard": False,
        "reports/mileage": False,
        "players/{player_id}": False,
    }
    assert all(
        "Public: no key is needed" in declared["description"]
        for path, declared in operations()
        if path != "update_data"
    )


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//[^\"']+", page.content.decode())
    assert '"validatorUrl": null' in page.content.decode()


# Fuzzed from the document itself


@pytest.fixture
def world(settings):
    """A key that opens all, and names and numbers that a lucky guess may hit."""
    settings.PLAYERS = UNLIMITED
    settings.ALLOWED_HOSTS = ["*"]
    group = make_group(parent=make_group())
    make_player(id_tag="0", rides=[1], open=[1, 0], groups=[group])
    make_device("0", group)
    return {"X-Api-Key": create_key("all")[0]}


@pytest.mark.django_db(transaction=True)
@often(8, 100)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "update_data"), ("GET", "leaderboard"), ("GET", "reports/mileage"), ("GET", "players/{player_id}")],
)
def test_the_service_does_what_the_document_says(world, method, path, examples):
    def ask(case, hit):
        if method == "POST":
            case.headers = dict(case.headers or {}) | world
        validate(case, case.call())

    fuzz(operation(method, f"/api/{path}"), ask, examples)
