"""A key is shown once, kept as a hash, checked in constant time, and revoked."""

from datetime import timedelta

import pytest
from django.utils import timezone

from players.exceptions import NoKey, WrongKey
from players.keys import check_key, create_key, revoke_key
from players.models import ApiKey
from tests.players.factories import make_device

pytestmark = pytest.mark.django_db


def test_a_key_opens_what_it_was_made_for():
    device = make_device()
    plain, record = create_key("bike", device)
    assert check_key(plain) == record
    assert check_key(plain).device == device


def test_a_key_without_device_is_global():
    assert check_key(create_key("all")[0]).device is None


def test_the_key_itself_is_in_no_column():
    plain, _ = create_key("bike")
    secret = plain.partition(".")[2]
    assert len(secret) == 43
    assert not [value for row in ApiKey.objects.values_list() for value in row if secret in str(value)]


def test_no_two_keys_are_alike():
    assert len({create_key("bike")[0] for _ in range(20)}) == 20


@pytest.mark.parametrize("plain", [None, ""])
def test_a_missing_key_is_asked_for(plain):
    with pytest.raises(NoKey, match="Send an API key in the header X-Api-Key"):
        check_key(plain)


@pytest.mark.parametrize(
    "change", ["{0}x", "{1}.", "{1}", ".{2}", "{1}.wrong", "\x00{0}", "{0}\ud800", "é", "x" * 9999]
)
def test_any_other_key_is_wrong(change):
    plain, _ = create_key("bike")
    prefix, _, secret = plain.partition(".")
    with pytest.raises(WrongKey, match="unknown or revoked"):
        check_key(change.format(plain, prefix, secret))


def test_the_secret_of_one_key_does_not_fit_another():
    one, other = create_key("one")[0], create_key("other")[0]
    with pytest.raises(WrongKey):
        check_key(f"{one.partition('.')[0]}.{other.partition('.')[2]}")


def test_a_revoked_key_opens_nothing_and_keeps_the_time():
    plain, record = create_key("bike")
    revoke_key(record)
    first = record.revoked_at
    revoke_key(record)
    assert record.revoked_at == first
    with pytest.raises(WrongKey):
        check_key(plain)


def test_the_last_use_is_noted_to_the_minute(django_assert_num_queries):
    plain, record = create_key("bike")
    with django_assert_num_queries(2):
        check_key(plain)
    with django_assert_num_queries(1):
        check_key(plain)
    ApiKey.objects.update(last_used_at=timezone.now() - timedelta(minutes=2))
    check_key(plain)
    record.refresh_from_db()
    assert timezone.now() - record.last_used_at < timedelta(minutes=1)
