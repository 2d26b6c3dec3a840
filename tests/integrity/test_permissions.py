"""One permission for each verb."""

import pytest
from django.contrib.auth.models import AnonymousUser, Permission

from integrity.exceptions import UnknownName
from integrity.permissions import PERMISSIONS, may

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("verb", PERMISSIONS)
def test_staff_may_what_their_permissions_say_and_nothing_else(django_user_model, verb):
    ann = django_user_model.objects.create(username="ann", is_staff=True)
    codenames = [permission.partition(".")[2] for permission in PERMISSIONS[verb]]
    ann.user_permissions.set(Permission.objects.filter(content_type__app_label="integrity", codename__in=codenames))
    assert [other for other in PERMISSIONS if may(ann, other)] == [verb]


def test_nobody_may_who_is_not_of_the_staff_or_was_locked_out(django_user_model):
    everything = Permission.objects.filter(content_type__app_label="integrity")
    ann = django_user_model.objects.create(username="ann")
    bob = django_user_model.objects.create(username="bob", is_staff=True, is_active=False)
    for user in (ann, bob):
        user.user_permissions.set(everything)
        assert not any(may(user, verb) for verb in PERMISSIONS)
    assert not may(AnonymousUser(), "read")


def test_an_unknown_verb_is_told_with_the_known_ones(admin_user):
    with pytest.raises(UnknownName, match=r"Unknown verb 'reed'. Known: .*read"):
        may(admin_user, "reed")
