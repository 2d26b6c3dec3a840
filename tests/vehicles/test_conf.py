"""Settings that are wrong are named."""

import re

import pytest
from django.core.exceptions import ImproperlyConfigured

from vehicles.conf import conf


def test_what_is_left_out_has_its_value(settings):
    settings.VEHICLES = {}
    assert conf().MAX_MILES_PER_DAY == 1500


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"MAX_MILES": 5}, "Unknown setting VEHICLES['MAX_MILES']. Known: MAX_MILES_PER_DAY."),
        ({"MAX_MILES_PER_DAY": 0}, "VEHICLES['MAX_MILES_PER_DAY'] is 0: give a whole number from 1 on."),
        ({"MAX_MILES_PER_DAY": "5"}, "VEHICLES['MAX_MILES_PER_DAY'] is '5': give a whole number from 1 on."),
    ],
)
def test_what_is_wrong_is_named(settings, given, sentence):
    settings.VEHICLES = given
    with pytest.raises(ImproperlyConfigured, match=re.escape(sentence)):
        conf()
