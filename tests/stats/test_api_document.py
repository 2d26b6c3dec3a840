"""The part of the API's document that is about core stats is complete, and is what the service does."""

import pytest
from django.contrib.auth import get_user_model
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client

from stats.models import CoreStat
from tests import fuzzing
from tests.fuzzing import document, often

ME = "/api/stats/me"


def operations():
    return document()["paths"][ME]


def test_every_status_is_documented_and_every_operation_asks_who_it_is():
    for method, operation in operations().items():
        statuses = {str(status) for status in operation["responses"]}
        more = {"400", "413", "415"} if method == "patch" else set()
        assert statuses == {"200", "401", "403", "422", "429", "503"} | more
        assert operation["security"]
        assert operation["description"]
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in (429, 503))


def test_every_member_of_a_change_is_explained():
    members = document()["components"]["schemas"]["ChangeIn"]["properties"]
    assert all("description" in member for member in members.values())


@often(6, 100)
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "patch"])
def test_the_service_does_what_the_document_says(settings, method, examples):
    settings.PLAYERS, settings.ALLOWED_HOSTS = fuzzing.UNLIMITED, ["*"]
    user = get_user_model().objects.create_user("ann")
    other = CoreStat.objects.create(user=get_user_model().objects.create_user("bob"), strength=42)
    client = Client()
    client.force_login(user)
    token = _get_new_csrf_string()
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": token}

    def ask(case, hit):
        case.headers, case.cookies = dict(case.headers or {}) | {"X-CSRFToken": token}, cookies
        response = case.call()
        # To change nothing is refused as well, which a schema cannot say.
        if not (isinstance(case.body, dict) and case.body.keys() == {"reason"}):
            fuzzing.validate(case, response)

    fuzzing.fuzz(fuzzing.operation(method.upper(), ME), ask, examples)
    other.refresh_from_db()
    assert other.strength == 42
