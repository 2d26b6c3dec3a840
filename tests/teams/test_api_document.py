"""The part of the API's document that is about teams is complete, and is what the service does."""

import pytest
from django.test import Client

from tests import fuzzing
from tests.fuzzing import document, often
from tests.teams.factories import make_member, make_poll, make_practice_time, make_team

ALWAYS = {"401", "403", "422", "429", "503"}
SENT = {"400", "413", "415"}


def operations():
    return {
        (method.upper(), path): operation
        for path, methods in document()["paths"].items()
        for method, operation in methods.items()
        if operation["tags"] == ["teams"]
    }


def test_every_status_is_documented():
    for (method, path), operation in operations().items():
        statuses = {str(status) for status in operation["responses"]}
        refused = {status for status in statuses if status >= "300"}
        assert len(statuses - refused) == 1
        expected = set(ALWAYS)
        expected |= SENT if "requestBody" in operation else set()
        # What is asked for by its number may not be there; what is written may be in the way of something.
        expected |= {"404"} if "{" in path or "requestBody" in operation else set()
        expected |= {"409"} if method != "GET" and "practice_time_id" not in path else set()
        assert refused == expected, (method, path)


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
    for name in ("PollIn", "VoteIn", "MessageIn", "PracticeTimeIn"):
        members = document()["components"]["schemas"][name]["properties"]
        assert all("description" in member for member in members.values()), name


@pytest.fixture
def captain(settings):
    """A captain who is signed in, and what exists: the numbers that paths and bodies may hit."""
    settings.PLAYERS = fuzzing.UNLIMITED
    settings.ALLOWED_HOSTS = ["*"]
    team = make_team()
    user = make_member(team, captain=True)
    poll = make_poll(user, team)
    there = {"team_id": team.pk, "poll_id": poll.pk, "choice_id": poll.choices.first().pk}
    there["practice_time_id"] = make_practice_time(team).pk
    client = Client()
    client.force_login(user)
    token = "a" * 32
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": token}
    return there, cookies, {"X-CSRFToken": token}


@often(3, 40)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("method", "path"), sorted(operations()), ids=lambda part: part.removeprefix("/api/teams"))
def test_the_service_does_what_the_document_says(captain, method, path, examples):
    there, cookies, headers = captain
    statuses = set()

    def ask(case, hit):
        case.headers, case.cookies = dict(case.headers or {}) | headers, cookies
        if hit:
            # A made up key counts before a session does.
            case.headers.pop("X-Api-Key", None)
            if case.path_parameters:
                case.path_parameters = {name: there[name] for name in case.path_parameters}
            if isinstance(case.body, dict):
                case.body |= {name: there[name] for name in there if name in case.body}
        response = case.call()
        statuses.add(response.status_code)
        fuzzing.validate(case, response)

    fuzzing.fuzz(fuzzing.operation(method, path), ask, examples)
    assert statuses & {200, 201, 204}, "nothing that was asked for was right"
