"""The part of the API's document that is about vehicles is complete, and is what the service does."""

import pytest

from players.keys import create_key
from tests import fuzzing
from tests.fuzzing import document, often
from tests.vehicles.factories import make_vehicle
from vehicles.models import VehicleEvent
from vehicles.schemas import EventType

READS = {"200", "401", "403", "404", "422", "429", "503"}
WRITES = READS | {"400", "413", "415"}


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


# Fuzzed from the document itself


@often(3, 50)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path"), sorted(operations()), ids=lambda part: part.removeprefix("/api/vehicles"))
def test_the_service_does_what_the_document_says(settings, method, path, examples):
    settings.PLAYERS, settings.ALLOWED_HOSTS = fuzzing.UNLIMITED, ["*"]
    key = {"X-Api-Key": create_key("all")[0]}
    vehicle = make_vehicle([1000, 11_000, 1200])
    there = {"id": vehicle.pk, "event_id": vehicle.events.first().pk}

    def ask(case, hit):
        case.headers = dict(case.headers or {}) | key
        if hit and case.path_parameters:
            case.path_parameters = {name: there[name] for name in case.path_parameters}
        fuzzing.validate(case, case.call())

    fuzzing.fuzz(fuzzing.operation(method, path), ask, examples)
