"""A key of the engine: made with scopes, shown once, checked, expired, revoked."""

import json
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from integrity.apikeys import check_key, create_key, revoke_key
from integrity.exceptions import UnknownName, UsageError, WrongKey
from integrity.models import ApiKey
from players import keys as bikes
from tests.command_line import manage

pytestmark = pytest.mark.django_db
CHANGELIST = "/admin/integrity/apikey/"


def test_a_key_opens_what_its_scopes_say_and_is_in_no_column():
    plain, record = create_key("nightly", ["repair", "read"], by="ann")
    assert check_key(plain) == record
    assert record.scopes == ["read", "repair"]
    secret = plain.partition(".")[2]
    assert len(secret) == 43
    assert not [value for row in ApiKey.objects.values_list() for value in row if secret in str(value)]


@pytest.mark.parametrize("change", ["{0}x", "{1}.", "{1}", ".{2}", "\x00{0}", "{0}\ud800", "é", "x" * 9999, ""])
def test_any_other_key_is_wrong(change):
    plain, _ = create_key("nightly", ["read"], by="ann")
    prefix, _, secret = plain.partition(".")
    with pytest.raises(WrongKey, match="unknown or revoked"):
        check_key(change.format(plain, prefix, secret))


def test_a_key_of_a_bike_opens_nothing():
    with pytest.raises(WrongKey):
        check_key(bikes.create_key("all")[0])


def test_a_key_opens_nothing_once_it_is_revoked_or_has_expired():
    plain, record = create_key("nightly", ["read"], by="ann", expires_at=timezone.now() + timedelta(days=1))
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with pytest.raises(WrongKey, match="expired at"):
        check_key(plain)
    at = revoke_key(record.prefix).revoked_at
    assert revoke_key(record.prefix).revoked_at == at
    with pytest.raises(WrongKey, match="unknown or revoked"):
        check_key(plain)


def test_the_use_is_noted_once_a_minute(django_assert_num_queries):
    plain, _ = create_key("nightly", ["read"], by="ann")
    with django_assert_num_queries(2):
        check_key(plain)
    with django_assert_num_queries(1):
        noted = check_key(plain).last_used_at
    assert timezone.now() - noted < timedelta(minutes=1)


@pytest.mark.parametrize(
    ("name", "scopes", "expires", "why"),
    [
        (" ", ["read"], 1, "has a name of at most 100 letters"),
        ("x" * 101, ["read"], 1, "has a name of at most 100 letters"),
        ("nightly", [], 1, "opens nothing. Give one or several of: read, analyze"),
        ("nightly", ["read"], -1, "which is past"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(name, scopes, expires, why):
    with pytest.raises(UsageError, match=why):
        create_key(name, scopes, by="ann", expires_at=timezone.now() + timedelta(days=expires))
    assert not ApiKey.objects.exists()


def test_an_unknown_scope_is_told_with_the_known_ones():
    with pytest.raises(UnknownName, match=r"Unknown scope 'write'. Known: accept, analyze"):
        create_key("nightly", ["read", "write"], by="ann")


# By the command


def test_the_command_makes_lists_and_revokes_keys():
    made = manage("integrity", "keys", "--create", "nightly", "--scope", "read", "--expires", "2990-01-31")
    key = check_key(made.out.split()[0])
    assert (made.code, key.scopes, key.expires_at.year) == (0, ["read"], 2990)
    assert "until 2990-01-31" in manage("integrity", "keys").out
    assert manage("integrity", "keys", "--revoke", key.prefix).code == 0
    (told,) = json.loads(manage("integrity", "keys", "--format", "json").out)["keys"]
    assert told["prefix"] == key.prefix
    assert told["revoked_at"]
    assert "key" not in told


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        (["--create", "nightly"], "A key without a scope opens nothing"),
        (["--scope", "read"], "give its name with --create"),
        (["--revoke", "abc"], "Unknown key 'abc'. Known: none."),
        (["--create", "nightly", "--scope", "read", "--expires", "2020-01-01"], "which is past"),
    ],
)
def test_the_command_says_what_is_wrong(typed, why):
    done = manage("integrity", "keys", *typed)
    assert done.code == 2
    assert why in done.err


# By the administration


@pytest.fixture
def staff(client, django_user_model):
    ann = django_user_model.objects.create(username="ann", is_staff=True)
    codenames = ["view_apikey", "add_apikey", "change_apikey", "analyze"]
    ann.user_permissions.set(Permission.objects.filter(content_type__app_label="integrity", codename__in=codenames))
    client.force_login(ann)
    return client


def test_a_new_key_is_shown_once_and_holds_no_more_than_its_maker_may(staff):
    page = staff.post(f"{CHANGELIST}add/", {"name": "nightly", "scopes": ["analyze"]})
    key = ApiKey.objects.get()
    plain = page.content.decode().split('id="new-key"')[1].split(">")[1].split("<")[0]
    assert check_key(plain) == key
    assert (key.scopes, key.created_by) == (["analyze"], "ann")
    assert "no-store" in page["Cache-Control"]
    assert plain not in staff.get(f"{CHANGELIST}{key.pk}/change/").content.decode()
    refused = staff.post(f"{CHANGELIST}add/", {"name": "nightly", "scopes": ["repair"]})
    assert "Select a valid choice" in refused.content.decode()
    assert ApiKey.objects.count() == 1


def test_keys_are_revoked_once_that_is_confirmed(staff):
    plain, key = create_key("nightly", ["read"], by="ann")
    chosen = {"action": "revoke", "_selected_action": [key.pk]}
    assert "That cannot be taken back" in staff.post(CHANGELIST, chosen).content.decode()
    assert check_key(plain)
    staff.post(CHANGELIST, chosen | {"confirmed": "yes"})
    with pytest.raises(WrongKey):
        check_key(plain)
    assert staff.post(f"{CHANGELIST}{key.pk}/delete/", {"post": "yes"}).status_code == 403


def test_who_may_only_look_revokes_nothing(staff, django_user_model):
    plain, key = create_key("nightly", ["read"], by="ann")
    ann = django_user_model.objects.get()
    ann.user_permissions.set(Permission.objects.filter(content_type__app_label="integrity", codename="view_apikey"))
    staff.post(CHANGELIST, {"action": "revoke", "_selected_action": [key.pk], "confirmed": "yes"})
    assert check_key(plain)
    assert staff.get(f"{CHANGELIST}add/").status_code == 403
