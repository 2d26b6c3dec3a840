"""The part of the document that is about the engine is complete, and is what the service does; nobody finds more."""

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from config.api import api
from integrity import engine
from integrity.apikeys import SCOPES, create_key
from integrity.models import Run, Violation
from integrity.registry import registry
from integrity.repair import repair
from tests.players.factories import make_player

RULE = "players.mileage_adds_up"
ALWAYS = {"200", "401", "403", "422", "429", "503"}
SENT = {"400", "413", "415"}
PUT_OFF = {"analyze", "repair", "enforce", "verify", "undo"}
DOCUMENT = api.get_openapi_schema()
OPERATIONS = {
    (method.upper(), path.removeprefix("/api/")): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
OURS = {name: operation for name, operation in OPERATIONS.items() if operation["tags"] == ["integrity"]}


def test_every_status_is_documented():
    for (method, path), operation in OURS.items():
        expected = ALWAYS | (SENT if "requestBody" in operation else set()) | ({"404"} if "{" in path else set())
        expected |= {"202"} if method == "POST" and path.rsplit("/", 1)[-1] in PUT_OFF else set()
        assert {str(status) for status in operation["responses"]} - {"409"} == expected, path


def test_every_error_has_the_form_of_the_others_and_every_wait_says_for_how_long():
    for operation in OURS.values():
        for status, response in operation["responses"].items():
            if int(status) >= 400:
                assert response["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Problem"
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in (429, 503))
        assert all(
            "Location" in answer["headers"] for status, answer in operation["responses"].items() if status == 202
        )


def test_every_operation_parameter_and_member_is_explained():
    for name, operation in OURS.items():
        assert "Needs a key with the scope `" in operation["description"]
        assert all(parameter.get("description") for parameter in operation["parameters"]), name
    for name in ("AnalyzeIn", "RepairIn", "UndoIn", "EnforceIn", "AcceptIn", "VerifyIn"):
        members = DOCUMENT["components"]["schemas"][name]["properties"]
        assert all("description" in member for member in members.values()), name


# Fuzzed from the document itself

CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
]
"""Beside them, for what is wrong on purpose: that it is refused."""


@pytest.fixture
def document(settings, transactional_db):
    """The service, without limits."""
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}
    settings.ALLOWED_HOSTS = ["*"]
    return schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())


@pytest.fixture
def there(document):
    """What a lucky guess may hit: one violation, and a run that wrote."""
    make_player(stored=7, rides=[4])
    wrong = make_player(stored=7, rides=[4])
    rule = registry.get(RULE)
    run = repair([(rule, "recalculate_from_player")], keys=[(wrong.pk,)]).run
    engine.analyze([rule])
    return {"name": RULE, "violations": Violation.objects.filter(status="open").get().pk, "runs": run}


def fuzz(operation, ask, examples):
    """Ask what the document allows, and what it does not."""
    bounded = settings(
        max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    for mode in GenerationMode:
        hits = st.booleans() if mode is GenerationMode.POSITIVE else st.just(value=False)
        bounded(given(case=operation.as_strategy(generation_mode=mode), hit=hits)(ask))()


def engine_answers(document, there, method, path, examples):
    key = {"X-Api-Key": create_key("program", SCOPES, by="ann")[0]}
    negative = [*CHECKS, openapi.negative_data_rejection]

    def ask(case, hit):
        case.headers = dict(case.headers or {}) | key
        if hit and case.path_parameters:
            kind = path.split("/")[1]
            case.path_parameters = {name: there.get(name, there.get(kind)) for name in case.path_parameters}
        if hit and isinstance(case.body, dict) and "rules" in case.body:
            case.body = case.body | {"rules": [RULE]}
        response = case.call()
        # A body beyond all limits is not even read; the checks know no such refusal.
        if response.status_code != 413:
            case.validate_response(response, checks=negative)

    fuzz(document[f"/api/{path}"][method], ask, examples)
    assert not Run.objects.filter(status="running").exists()


def strangers_find_nothing(document, method, path, examples):
    def ask(case, hit):
        response = case.call()
        if response.status_code != 413:
            case.validate_response(response, checks=CHECKS)
        if OPERATIONS[method, path].get("security"):
            assert response.status_code in (401, 403, 413)

    fuzz(document[f"/api/{path}"][method], ask, examples)


def test_the_service_does_what_the_document_says(document, there):
    for method, path in OURS:
        engine_answers(document, there, method, path, 4)


def test_nobody_without_a_key_finds_anything_anywhere(document):
    for method, path in OPERATIONS:
        strangers_find_nothing(document, method, path, 2)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), sorted(OURS))
def test_the_service_does_what_the_document_says_for_long(document, there, method, path):
    engine_answers(document, there, method, path, 150)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_nobody_without_a_key_finds_anything_anywhere_for_long(document, method, path):
    strangers_find_nothing(document, method, path, 150)
