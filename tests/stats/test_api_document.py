"""The part of the API's document that is about core stats is complete, and is what the service does."""

import pytest
import schemathesis
from django.contrib.auth import get_user_model
from django.core.wsgi import get_wsgi_application
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from config.api import api
from stats.models import CoreStat

ME = "/api/stats/me"
CHECKS = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.negative_data_rejection,
]


def operations():
    return api.get_openapi_schema()["paths"][ME]


def test_every_status_is_documented_and_every_operation_asks_who_it_is():
    for method, operation in operations().items():
        statuses = {str(status) for status in operation["responses"]}
        more = {"400", "413", "415"} if method == "patch" else set()
        assert statuses == {"200", "401", "403", "422", "429", "503"} | more
        assert operation["security"]
        assert operation["description"]
        assert all("Retry-After" in operation["responses"][status]["headers"] for status in (429, 503))


def test_every_member_of_a_change_is_explained():
    members = api.get_openapi_schema()["components"]["schemas"]["ChangeIn"]["properties"]
    assert all("description" in member for member in members.values())


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["get", "patch"])
def test_the_service_does_what_the_document_says(settings_of_limits, method):
    user = get_user_model().objects.create_user("ann")
    other = CoreStat.objects.create(user=get_user_model().objects.create_user("bob"), strength=42)
    client = Client()
    client.force_login(user)
    token = _get_new_csrf_string()
    cookies = {"sessionid": client.cookies["sessionid"].value, "csrftoken": token}
    operation = schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())[ME][method.upper()]
    bounded = settings(max_examples=25, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None)

    def ask(case):
        case.headers, case.cookies = dict(case.headers or {}) | {"X-CSRFToken": token}, cookies
        response = case.call()
        # A body beyond all limits is not even read; the checks know no such refusal. To change nothing is refused as
        # well, which a schema cannot say.
        nothing = isinstance(case.body, dict) and case.body.keys() == {"reason"}
        if response.status_code != 413 and not nothing:
            case.validate_response(response, checks=CHECKS)

    for mode in GenerationMode:
        bounded(given(case=operation.as_strategy(generation_mode=mode))(ask))()
    other.refresh_from_db()
    assert other.strength == 42


@pytest.fixture
def settings_of_limits(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}
    settings.ALLOWED_HOSTS = ["*"]
