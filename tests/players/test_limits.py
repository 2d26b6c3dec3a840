"""A limit holds for all processes together, says how long to wait, and gives way with time."""

import os
import subprocess
import sys
from datetime import timedelta
from functools import partial

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.db.models import F

from players.conf import conf
from players.exceptions import TooMany
from players.limits import count_address, count_key
from players.models import RateLimit
from tests.players.bikes import at_once, results


@pytest.fixture(autouse=True)
def five_a_minute(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 5, "ADDRESS_REQUESTS_PER_MINUTE": 5}


def pass_time(seconds):
    RateLimit.objects.update(spent_until=F("spent_until") - timedelta(seconds=seconds))


def count(times, subject="a"):
    """How many of so many requests are let through."""
    passed = 0
    for _ in range(times):
        try:
            count_key(subject)
        except TooMany:
            continue
        passed += 1
    return passed


@pytest.mark.django_db
def test_a_minutes_requests_may_come_at_once_and_no_more():
    assert count(20) == 5


@pytest.mark.django_db
def test_the_refusal_says_how_long_to_wait():
    count(5)
    with pytest.raises(TooMany, match="More than 5 requests in a minute: try again in 12 s") as error:
        count_key("a")
    assert error.value.seconds == 12


@pytest.mark.django_db
def test_who_waits_so_long_is_let_through_once():
    count(5)
    pass_time(12)
    assert count(5) == 1


@pytest.mark.django_db
def test_a_minute_later_all_is_forgotten_and_nothing_is_saved_up():
    count(5)
    pass_time(600)
    assert count(20) == 5


@pytest.mark.django_db
def test_each_key_and_each_address_has_its_own():
    assert (count(9, "a"), count(9, "b")) == (5, 5)
    for _ in range(5):
        count_address("192.0.2.1")
    count_address("192.0.2.2")
    with pytest.raises(TooMany):
        count_address("192.0.2.1")


@pytest.mark.django_db
def test_zero_is_without_limit(settings):
    settings.PLAYERS = {"KEY_REQUESTS_PER_MINUTE": 0}
    assert count(20) == 20


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("proxies", "remote", "forwarded", "subject"),
    [
        (0, "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        (1, "10.0.0.1", "203.0.113.9, 192.0.2.1", "192.0.2.1"),
        (1, "10.0.0.1", "", "10.0.0.1"),
        (3, "10.0.0.1", "192.0.2.1", "192.0.2.1"),
        (1, "10.0.0.1", "x' OR 1=1", "unknown"),
        (0, "", "", "unknown"),
        (0, "2001:db8:1:2:aaaa::1", "", "2001:db8:1:2::/64"),
        (0, "::ffff:192.0.2.1", "", "192.0.2.1"),
    ],
)
def test_an_address_is_what_our_own_proxy_saw(settings, proxies, remote, forwarded, subject):
    settings.PLAYERS = {"TRUSTED_PROXIES": proxies}
    count_address(remote, forwarded)
    assert RateLimit.objects.get().subject == f"address:{subject}"


@pytest.mark.django_db(transaction=True)
def test_eight_threads_share_one_limit():
    assert sum(results(at_once(*[partial(count, 5)] * 8), int)) == 5


PROCESS = """
import sys, django
django.setup()
from django.db import connections
connections.settings["default"]["NAME"] = sys.argv[1]
from tests.players.test_limits import count
from django.test import override_settings
with override_settings(PLAYERS={"KEY_REQUESTS_PER_MINUTE": 5}):
    print(count(20))
"""


@pytest.mark.django_db(transaction=True)
def test_two_processes_share_one_limit():
    command = [sys.executable, "-c", PROCESS, connection.settings_dict["NAME"]]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"}
    processes = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sum(int(process.communicate(timeout=60)[0]) for process in processes) == 5


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"COLOUR": 1}, "Unknown setting PLAYERS.'COLOUR'.. Known: ADDRESS_REQUESTS_PER_MINUTE"),
        ({"MAX_DISTANCE_KM": "far"}, "MAX_DISTANCE_KM'. is 'far': give a number above 0"),
        ({"MAX_DISTANCE_KM": "NaN"}, "give a number above 0"),
        ({"MAX_DISTANCE_KM": 0}, "give a number above 0"),
    ],
)
def test_a_wrong_setting_is_named(settings, given, sentence):
    settings.PLAYERS = given
    with pytest.raises(ImproperlyConfigured, match=sentence):
        conf()
