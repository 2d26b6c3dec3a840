"""The part of the API's document that is about vehicles is complete, and is what the service does."""

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from config.api import api
from players.keys import create_key
from tests.vehicles.factories import make_vehicle
from vehicles.models import VehicleEvent
from vehicles.schemas import EventType

READS = {"200", "401", "403", "404", "422", "429", "503"}
WRITES = READS | {"400", "413", "415"}


def document():
    return api.get_openapi_schema()


def operations():
    return {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == ["vehicles"]
    }


def test_every_status_is_documented():
    for (method, _), operation in operations().items():
        statuses = {str(status) for status in operation["responses"]}
        succeeds = {status for status in statuses if status < "300"}
        assert len(succeeds) == 1
        assert statuses - succeeds == (WRITES if "requestBody" in operation else READS) - {"200"}, operation["summary"]
        assert ("requestBody" in operation) <= (method in {"POST", "PATCH"})


def test_every_error_has_the_form_of_the_others():
    forms = {
        response["content"]["application/json"]["schema"]["$ref"]
        for operation in operations().values()
        for status, response in operation["responses"].items()
        if int(status) >= 400
    }
    assert forms == {"#/components/schemas/Problem"}


def test_every_operation_asks_who_it_is():
    assert all(operation["security"] for operation in operations().values())


def test_every_wait_says_for_how_long():
    for operation in operations().values():
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in (429, 503))


def test_every_parameter_and_member_is_explained():
    for operation in operations().values():
        assert operation["description"]
        assert all("description" in parameter for parameter in operation.get("parameters", []))
    for name in ("OverrideIn", "EventIn", "AcceptIn", "CorrectIn"):
        members = document()["components"]["schemas"][name]["properties"]
        assert all("description" in member for member in members.values()), name


def test_the_types_of_events_are_those_of_the_model():
    assert list(EventType.__args__) == VehicleEvent.Type.values


CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path"), sorted(operations()), ids=lambda part: part.removeprefix("/api/vehicles"))
def test_the_service_does_what_the_document_says(settings_of_limits, method, path):
    key = {"X-Api-Key": create_key("all")[0]}
    vehicle = make_vehicle([1000, 11_000, 1200])
    event = vehicle.events.first()
    operation = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())[path][method]
    bounded = settings(max_examples=15, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)

    there = {"id": vehicle.pk, "event_id": event.pk}

    def ask(case, exists):
        case.headers = dict(case.headers or {}) | key
        if exists and case.path_parameters:
            case.path_parameters = {name: there[name] for name in case.path_parameters}
        response = case.call()
        # A body beyond all limits is not even read; the checks know no such refusal.
        if response.status_code != 413:
            case.validate_response(response, checks=CHECKS)

    for mode in GenerationMode:
        # What is wrong may be the number itself, which must not be replaced by a right one then.
        exists = st.booleans() if mode is GenerationMode.POSITIVE else st.just(value=False)
        bounded(given(case=operation.as_strategy(generation_mode=mode), exists=exists)(ask))()


@pytest.fixture
def settings_of_limits(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}
    settings.ALLOWED_HOSTS = ["*"]
