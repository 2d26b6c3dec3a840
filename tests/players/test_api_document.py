"""The document of the API is complete, loads nothing from elsewhere, and is what the service does."""

import re

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from config.api import api
from players.keys import create_key
from tests.players.factories import make_device, make_group, make_player

pytestmark = pytest.mark.django_db
READS = {200, 422, 429, 503}


def document():
    return api.get_openapi_schema()


def operations():
    for path, methods in document()["paths"].items():
        for operation in methods.values():
            if operation["tags"] in (["bikes"], ["reads"]):  # the tests of the other apps ask the same of theirs
                yield path.rsplit("/api/")[-1], operation


def test_every_status_is_documented():
    assert {path: {int(status) for status in operation["responses"]} for path, operation in operations()} == {
        "update_data": {400, 401, 403, 404, 409, 413, 415} | READS,
        "leaderboard": READS | {404},
        "reports/mileage": READS | {404},
        "players/{player_id}": READS | {404},
    }


def test_every_error_has_one_form():
    forms = {
        response["content"]["application/json"]["schema"]["$ref"]
        for _, operation in operations()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    }
    assert forms == {"#/components/schemas/Problem"}
    problem = document()["components"]["schemas"]["Problem"]
    assert problem["required"] == ["type", "title", "status", "detail", "errors"]


def test_every_wait_says_for_how_long():
    for _, operation in operations():
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in (429, 503))


def test_every_parameter_and_member_is_explained():
    for path, operation in operations():
        assert operation["description"]
        assert all("description" in each for each in operation.get("parameters", []) if each["in"] != "path"), path
    members = document()["components"]["schemas"]["ReportIn"]["properties"]
    assert all("description" in member for member in members.values())


def test_it_says_who_may_ask():
    assert {path: bool(operation.get("security")) for path, operation in operations()} == {
        "update_data": True,
        "leaderboard": False,
        "reports/mileage": False,
        "players/{player_id}": False,
    }
    assert all(
        "Public: no key is needed" in operation["description"]
        for path, operation in operations()
        if path != "update_data"
    )


def test_the_page_loads_nothing_from_elsewhere(client):
    page = client.get("/api/docs")
    assert page.status_code == 200
    assert not re.findall(r"(?:src|href)=[\"'](?:https?:)?//[^\"']+", page.content.decode())
    assert '"validatorUrl": null' in page.content.decode()


# Fuzzed from the document itself

CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
    openapi.negative_data_rejection,
]


@pytest.fixture
def world(settings):
    """A key that opens all, and names and numbers that a lucky guess may hit."""
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}
    settings.ALLOWED_HOSTS = ["*"]
    group = make_group(parent=make_group())
    make_player(id_tag="0", rides=[1], open=[1, 0], groups=[group])
    make_device("0", group)
    return {"X-Api-Key": create_key("all")[0]}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "update_data"), ("GET", "leaderboard"), ("GET", "reports/mileage"), ("GET", "players/{player_id}")],
)
def test_the_service_does_what_the_document_says(world, method, path):
    schema = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())
    operation = schema[f"/api/{path}"][method]
    bounded = settings(max_examples=40, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)

    def ask(case):
        if method == "POST":
            case.headers = dict(case.headers or {}) | world
        case.call_and_validate(checks=CHECKS)

    for mode in GenerationMode:
        bounded(given(case=operation.as_strategy(generation_mode=mode))(ask))()
