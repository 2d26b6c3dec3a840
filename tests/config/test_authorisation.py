"""Who gets in where: every operation of the API's document, and every page and action of the engine's administration.

Both are read from what there is, so that a new one without a row here fails.
"""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.middleware.csrf import _get_new_csrf_string
from django.test import Client, RequestFactory
from django.utils import timezone

from integrity import apikeys
from integrity.models import ApiKey
from integrity.permissions import PERMISSIONS
from players import keys as bikes
from tests.fuzzing import document
from tests.players.factories import make_device

pytestmark = pytest.mark.django_db

# Who asks

ENGINE_KEYS = {f"engine key: {scope}": scope for scope in apikeys.SCOPES}
ENGINE_STAFF = {f"staff: {verb}": permissions for verb, permissions in PERMISSIONS.items()}
FLEET_STAFF = {f"staff: {verb} vehicles": (f"vehicles.{verb}_vehicle",) for verb in ("view", "change")}
PEOPLE = {"user", "user with permissions", "staff", *ENGINE_STAFF, *FLEET_STAFF}
KEYS = {"wrong key", "key of a bike", "key of all bikes", "expired engine key", "revoked engine key", *ENGINE_KEYS}
EVERYBODY = {"nobody", *KEYS, *PEOPLE}


def key_for(caller):
    """What is sent in the header."""
    match caller:
        case "wrong key":
            return "0123456789ab.wrong"
        case "key of a bike":
            return bikes.create_key("bike", make_device())[0]
        case "key of all bikes":
            return bikes.create_key("bikes")[0]
    plain, record = apikeys.create_key("program", [ENGINE_KEYS.get(caller, "read")], by="ann")
    if caller == "expired engine key":
        ApiKey.objects.filter(pk=record.pk).update(expires_at=timezone.now() - timedelta(days=1), scopes=apikeys.SCOPES)
    if caller == "revoked engine key":
        ApiKey.objects.filter(pk=record.pk).update(scopes=apikeys.SCOPES)
        apikeys.revoke_key(record.prefix)
    return plain


def permitted(wanted):
    """Permissions by ``app.codename``."""
    apps = {name.partition(".")[0] for name in wanted}
    found = Permission.objects.filter(content_type__app_label__in=apps).select_related("content_type")
    return [one for one in found if f"{one.content_type.app_label}.{one.codename}" in wanted]


def sign_in(caller, django_user_model, *, token=True):
    """A browser of somebody, which knows the token that unsafe requests need."""
    user = django_user_model.objects.create(username="ann", is_staff=caller.startswith("staff"))
    wanted = {**ENGINE_STAFF, **FLEET_STAFF}.get(caller, ())
    if caller == "user with permissions":
        wanted = [name for names in {**ENGINE_STAFF, **FLEET_STAFF}.values() for name in names]
    user.user_permissions.set(permitted(wanted))
    secret = _get_new_csrf_string()
    client = Client(enforce_csrf_checks=True, headers={"X-CSRFToken": secret} if token else {})
    client.force_login(user)
    client.cookies["csrftoken"] = secret
    return client


@pytest.fixture
def enter(django_user_model):
    """The client of a caller."""

    def as_(caller):
        if caller in KEYS:
            return Client(enforce_csrf_checks=True, headers={"X-Api-Key": key_for(caller)})
        return sign_in(caller, django_user_model) if caller in PEOPLE else Client(enforce_csrf_checks=True)

    return as_


# Where

BIKES = {"key of a bike", "key of all bikes"}
FLEET = {"key of all bikes", "staff: view vehicles", "staff: change vehicles"}
FLEET_CHANGE = {"key of all bikes", "staff: change vehicles"}
TEAMS = {"key of all bikes", *PEOPLE}


def engine(scope):
    return {f"engine key: {scope}", f"staff: {scope}"}


OPEN_TO = {
    "POST update_data": BIKES,
    "GET leaderboard": EVERYBODY,
    "GET reports/mileage": EVERYBODY,
    "GET players/{player_id}": EVERYBODY,
    "GET vehicles": FLEET,
    "GET vehicles/{id}/mileage": FLEET,
    "POST vehicles/{id}/mileage": FLEET_CHANGE,
    "DELETE vehicles/{id}/mileage": FLEET_CHANGE,
    "GET vehicles/{id}/mileage/history": FLEET,
    "GET vehicles/{id}/events": FLEET,
    "POST vehicles/{id}/events": FLEET_CHANGE,
    "GET vehicles/{id}/events/{event_id}": FLEET,
    "PATCH vehicles/{id}/events/{event_id}": FLEET_CHANGE,
    "DELETE vehicles/{id}/events/{event_id}": FLEET_CHANGE,
    "POST vehicles/{id}/events/{event_id}/restore": FLEET_CHANGE,
    "GET vehicles/{id}/anomalies": FLEET,
    "POST vehicles/{id}/anomalies/accept": FLEET_CHANGE,
    "POST vehicles/{id}/anomalies/correct": FLEET_CHANGE,
    "GET vehicles/reminders/due": FLEET,
    "GET teams/leagues": TEAMS,
    "GET teams": TEAMS,
    "GET teams/{team_id}": TEAMS,
    "GET teams/polls": TEAMS,
    "POST teams/polls": TEAMS,
    "GET teams/polls/{poll_id}": TEAMS,
    # A key speaks for nobody: where a person is needed, it is told so when all else is right.
    "POST teams/polls/{poll_id}/vote": TEAMS,
    "DELETE teams/polls/{poll_id}/vote": PEOPLE,
    "POST teams/polls/{poll_id}/close": PEOPLE,
    "GET teams/messages": TEAMS,
    "POST teams/messages": TEAMS,
    "GET teams/practice-times": TEAMS,
    "POST teams/practice-times": TEAMS,
    "DELETE teams/practice-times/{practice_time_id}": PEOPLE,
    "GET stats/me": PEOPLE,
    "PATCH stats/me": PEOPLE,
    "GET integrity/health": engine("read"),
    "GET integrity/rules": engine("read"),
    "GET integrity/rules/{name}": engine("read"),
    "GET integrity/rules/{name}/sql": engine("read"),
    "GET integrity/violations": engine("read"),
    "GET integrity/violations/{id}": engine("read"),
    "POST integrity/violations/{id}/dry-run": engine("repair"),
    "POST integrity/violations/{id}/accept": engine("accept"),
    "POST integrity/violations/{id}/revoke": engine("accept"),
    "GET integrity/runs": engine("read"),
    "GET integrity/runs/{id}": engine("read"),
    "GET integrity/runs/{id}/changes": engine("read"),
    "POST integrity/runs/{id}/verify": engine("analyze"),
    "POST integrity/runs/{id}/undo": engine("undo"),
    "POST integrity/runs/{id}/pause": engine("control"),
    "POST integrity/runs/{id}/resume": engine("control"),
    "POST integrity/runs/{id}/cancel": engine("control"),
    "POST imports": engine("import"),
    "GET imports": engine("read") | engine("import"),
    "GET imports/{id}": engine("read") | engine("import"),
    "GET integrity/alerts": engine("read"),
    "POST integrity/alerts/{id}/send-again": engine("control"),
    "POST integrity/analyze": engine("analyze"),
    "POST integrity/repair": engine("repair"),
    "POST integrity/enforce": engine("enforce"),
}
"""Who is asked what they want, and not turned away; nothing that is asked for here is there, or can be read."""


def operations():
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path.removeprefix('/api/')}", operation


def ask(client, operation):
    """Each with a body that no schema takes, for rows that are not there."""
    method, path = operation.split()
    names = {"name": "players.nope", "key": "nope"}
    for parameter in [part.split("}")[0] for part in path.split("{")[1:]]:
        path = path.replace(f"{{{parameter}}}", names.get(parameter, "999999999"))
    body = {} if method == "GET" else {"data": "[]", "content_type": "application/json"}
    if operation == "POST imports":
        body = {"data": "--x--\r\n", "content_type": "multipart/form-data; boundary=x"}
    return client.generic(method, f"/api/{path}", **body)


def test_every_operation_has_a_row():
    assert {name for name, _ in operations()} == OPEN_TO.keys()


def test_the_document_says_where_somebody_must_be_known():
    for name, operation in operations():
        assert bool(operation.get("security")) == (OPEN_TO[name] != EVERYBODY), name
    schemes = document()["components"]["securitySchemes"]
    assert all(scheme["description"] for scheme in schemes.values())


@pytest.mark.parametrize("caller", sorted(EVERYBODY))
def test_everybody_gets_in_where_they_may_and_nowhere_else(caller, enter, unlimited):
    client = enter(caller)
    answers = {name: ask(client, name) for name in OPEN_TO}
    turned_away = {name for name, answer in answers.items() if answer.status_code in (401, 403)}
    assert turned_away == {name for name, callers in OPEN_TO.items() if caller not in callers}
    assert not [name for name, answer in answers.items() if answer.status_code >= 500]
    for name in turned_away:
        problem = answers[name].json()
        assert (problem["status"], bool(problem["detail"])) == (answers[name].status_code, True)
        if caller == "nobody":
            assert problem["status"] == 401


def test_what_writes_needs_the_token_of_the_session(django_user_model, unlimited):
    django_user_model.objects.all().delete()
    client = sign_in("staff", django_user_model, token=False)
    django_user_model.objects.update(is_superuser=True)
    unsafe = [name for name, operation in operations() if operation.get("security") and not name.startswith("GET")]
    assert {name: ask(client, name).status_code for name in unsafe if name != "POST update_data"} == {
        name: 403 for name in unsafe if name != "POST update_data"
    }


def test_requests_to_the_engine_are_limited_by_key_and_by_address(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 2, "ADDRESS_REQUESTS_PER_MINUTE": 2}
    plain, _ = apikeys.create_key("program", ["read"], by="ann")
    for headers, allowed in (({"X-Api-Key": plain}, 200), ({}, 401), ({"X-Api-Key": "wrong.key"}, 429)):
        answers = [Client(headers=headers).get("/api/integrity/runs") for _ in range(3)]
        last = answers[-1]
        assert [answer.status_code for answer in answers] == [allowed, allowed, 429]
        assert int(last["Retry-After"]) >= 1


@pytest.fixture
def unlimited(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}


# The administration of the engine

VIEW, NOBODY = "view", "nobody"
PAGES = {"changelist": VIEW, "change": VIEW, "add": NOBODY, "delete": NOBODY} | {
    "apikey add": "integrity.add_apikey",
    "declaredrule health": VIEW,
    "declaredrule analyze": "integrity.analyze",
    "declaredrule repair": "integrity.repair",
    "declaredrule enforce": "integrity.enforce",
    "declaredrule remove": "integrity.enforce",
    "declaredrule resume": "integrity.control",
    "run undo": "integrity.undo",
    "run verify": "integrity.analyze",
    "run pause": "integrity.control",
    "run resume": "integrity.control",
    "run cancel": "integrity.control",
    "violation accept": "integrity.accept",
    "violation revoke": "integrity.accept",
    "violation repair": "integrity.repair",
}
"""By name, or by model and name. A page of its own kind must stand here."""
ACTIONS = {
    "delete_selected": NOBODY,
    "alert send_selected_again": "integrity.control",
    "apikey revoke": "integrity.change_apikey",
    "quarantined restore_selected": "integrity.restore_quarantined",
    "violation accept_selected": "integrity.accept",
    "violation revoke_selected": "integrity.accept",
    "violation repair_selected": "integrity.repair",
}


def engine_admins():
    return {m._meta.model_name: a for m, a in admin.site._registry.items() if m._meta.app_label == "integrity"}


def pages():
    """Model and name of each page with its address and what opens it. What is not there has no history either."""
    for model, its_admin in engine_admins().items():
        for pattern in its_admin.get_urls():
            name = (pattern.name or "").removeprefix(f"integrity_{model}_")
            if name in ("", "history"):
                continue
            route = str(pattern.pattern)
            for part, value in {
                "<path:object_id>": "999999999",
                "<int:number>": "999999999",
                "<str:label>": "players.mileage_adds_up",
                "<str:strategy>": "nope",
            }.items():
                route = route.replace(part, value)
            opens = PAGES.get(f"{model} {name}") or PAGES[name]
            yield f"{model} {name}", f"/admin/integrity/{model}/{route}", opens


@pytest.fixture
def signed_in(django_user_model):
    """Staff who see everything of the engine, with these permissions beside."""

    def as_(*permissions):
        views = [f"integrity.view_{model}" for model in [*engine_admins(), "change"]]
        user, _ = django_user_model.objects.get_or_create(username="ann", is_staff=True)
        user.user_permissions.set(permitted([*views, *permissions]))
        return django_user_model.objects.get()

    return as_


def opened(client, pages_):
    return {name for name, address, _ in pages_ if client.get(address).status_code in (200, 404, 302)}


def test_no_page_of_the_engine_opens_for_strangers_or_staff_without_permission(client, django_user_model):
    found = list(pages())
    ann = django_user_model.objects.create(username="ann")
    for stranger in (None, ann):
        if stranger:
            client.force_login(stranger)
        answers = [client.get(address) for _, address, _ in found]
        assert {answer["Location"].split("?")[0] for answer in answers} == {"/admin/login/"}
    django_user_model.objects.update(is_staff=True)
    client.force_login(django_user_model.objects.get())
    assert opened(client, found) == set()


@pytest.mark.parametrize("permission", sorted({*PAGES.values()} - {NOBODY, VIEW}))
def test_a_page_that_does_something_opens_for_its_permission_alone(client, signed_in, permission):
    found = [page for page in pages() if page[2] != VIEW]
    client.force_login(signed_in(permission))
    assert opened(client, found) == {name for name, _, opens in found if opens == permission}


def test_whoever_sees_all_sees_all_and_does_nothing(client, signed_in):
    found = list(pages())
    client.force_login(signed_in())
    assert opened(client, found) == {name for name, _, opens in found if opens == VIEW}


@pytest.mark.parametrize("permission", sorted({*ACTIONS.values()} - {NOBODY}))
def test_an_action_is_offered_for_its_permission_alone(signed_in, permission):
    request = RequestFactory().get("/")
    request.user = signed_in(permission)
    for model, its_admin in engine_admins().items():
        # Django 5.2 has tuples of a function, a name and a description here.
        all_actions = {getattr(one, "name", None) or one[1] for one in its_admin._get_base_actions()}
        wanted = {name for name in all_actions if (ACTIONS.get(f"{model} {name}") or ACTIONS[name]) == permission}
        assert set(its_admin.get_actions(request)) == wanted, model
