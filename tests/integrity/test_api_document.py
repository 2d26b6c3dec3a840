"""The part of the document that is about the engine is complete, and is what the service does; nobody finds more."""

from collections import defaultdict

import pytest
from ninja import Schema

from integrity import engine
from integrity.apikeys import SCOPES, create_key
from integrity.models import Run, Violation
from integrity.registry import registry
from integrity.repair import repair
from tests import fuzzing
from tests.fuzzing import document
from tests.integrity.looks import ago, looked
from tests.players.factories import make_player

RULE = "players.mileage_adds_up"
ALWAYS = {"200", "401", "403", "422", "429", "503"}
SENT = {"400", "413", "415"}
PUT_OFF = {"analyze", "repair", "enforce", "verify", "undo"}
DOCUMENT = document()
OPERATIONS = {
    (method.upper(), path.removeprefix("/api/")): operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}
OURS = {name: operation for name, operation in OPERATIONS.items() if operation["tags"] == ["integrity"]}
FUZZED = [name for name, operation in OPERATIONS.items() if operation["tags"] in (["integrity"], ["imports"])]


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


def test_no_two_schemas_share_a_name():
    named = defaultdict(set)
    for schema in below(Schema):
        named[schema.__name__].add(schema.__module__)
    assert not {name for name in DOCUMENT["components"]["schemas"] if len(named[name]) > 1}


def below(schema):
    for one in schema.__subclasses__():
        yield one
        yield from below(one)


def test_every_operation_parameter_and_member_is_explained():
    for name, operation in OURS.items():
        assert "Needs a key with the scope `" in operation["description"]
        assert all(parameter.get("description") for parameter in operation["parameters"]), name
    for name in ("AnalyzeIn", "RepairIn", "UndoIn", "EnforceIn", "AcceptViolationIn", "VerifyIn"):
        members = DOCUMENT["components"]["schemas"][name]["properties"]
        assert all("description" in member for member in members.values()), name


# Fuzzed from the document itself


@pytest.fixture
def unlimited(settings, transactional_db):
    settings.PLAYERS, settings.ALLOWED_HOSTS = fuzzing.UNLIMITED, ["*"]


@pytest.fixture
def there(unlimited):
    """What a lucky guess may hit: one violation, and a run that wrote."""
    make_player(stored=7, rides=[4])
    wrong = make_player(stored=7, rides=[4])
    rule = registry.get(RULE)
    run = repair([(rule, "recalculate_from_player")], keys=[(wrong.pk,)]).run
    engine.analyze([rule])
    came = looked(rule, ago(hours=1), verb="import").pk
    Run.objects.filter(pk=came).update(options={"import": "teams.nightly"})
    return {"name": RULE, "imports": came, "violations": Violation.objects.filter(status="open").get().pk, "runs": run}


def engine_answers(there, method, path, examples):
    key = {"X-Api-Key": create_key("program", SCOPES, by="ann")[0]}

    def ask(case, hit):
        case.headers = dict(case.headers or {}) | key
        if hit and case.path_parameters:
            kind = path.partition("/{")[0].rpartition("/")[2]
            case.path_parameters = {name: there.get(name, there.get(kind)) for name in case.path_parameters}
        if hit and isinstance(case.body, dict) and "rules" in case.body:
            case.body = case.body | {"rules": [RULE]}
        fuzzing.validate(case, case.call())

    fuzzing.fuzz(fuzzing.operation(method, f"/api/{path}"), ask, examples)
    assert not Run.objects.filter(status="running").exists()


def strangers_find_nothing(method, path, examples):
    def ask(case, hit):
        response = case.call()
        fuzzing.validate(case, response, fuzzing.KEPT)
        if OPERATIONS[method, path].get("security"):
            assert response.status_code in (401, 403, fuzzing.TOO_LARGE)

    fuzzing.fuzz(fuzzing.operation(method, f"/api/{path}"), ask, examples)


def test_the_service_does_what_the_document_says(there):
    for method, path in FUZZED:
        engine_answers(there, method, path, 3)


def test_nobody_without_a_key_finds_anything_anywhere(unlimited):
    for method, path in OPERATIONS:
        strangers_find_nothing(method, path, 1)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), FUZZED)
def test_the_service_does_what_the_document_says_for_long(there, method, path):
    engine_answers(there, method, path, 100)


@pytest.mark.soak
@pytest.mark.parametrize(("method", "path"), sorted(OPERATIONS))
def test_nobody_without_a_key_finds_anything_anywhere_for_long(unlimited, method, path):
    strangers_find_nothing(method, path, 100)
