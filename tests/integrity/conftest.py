"""Processes for the tests that kill them, and people at the administration."""

import pytest
from django.contrib.auth.models import Permission
from django.db import connection, connections
from procrastinate.contrib.django import app

from integrity.registry import registry
from tests.integrity.processes import serving
from tests.integrity.worlds import IN_PARTS, WORLDS


@pytest.fixture(scope="session")
def forking_process():
    with serving() as processes:
        yield processes


@pytest.fixture
def processes(forking_process):
    """Starts verbs in processes of their own; those still there are ended with the test."""
    yield forking_process
    forking_process.end()


@pytest.fixture
def staff(client, django_user_model):
    """Log in somebody with these permissions of the engine. Nobody has a password: to hash one takes long."""

    def log_in(*codenames, name="ann"):
        account = django_user_model.objects.create_user(name, is_staff=True)
        account.user_permissions.set(
            Permission.objects.filter(content_type__app_label="integrity", codename__in=codenames)
        )
        client.force_login(account)
        return client

    return log_in


@pytest.fixture
def boss(client, django_user_model):
    """Somebody who may everything."""
    client.force_login(django_user_model.objects.create_superuser("boss"))
    return client


@pytest.fixture
def queue(transactional_db, monkeypatch):
    """The queue for workers within the process of the test; Django does not empty what it has not made."""
    # The thread of a worker keeps its connection until the process ends, and here it goes on.
    monkeypatch.setitem(connections.settings["default"], "CONN_MAX_AGE", 0)
    # What the clock asks for is no part of a test.
    monkeypatch.setattr(app.periodic_registry, "periodic_tasks", {})
    yield
    with connection.cursor() as cursor:
        cursor.execute("TRUNCATE procrastinate_jobs, procrastinate_workers CASCADE")


@pytest.fixture
def world(settings, queue):
    """Ten accounts out of order, which take four parts; its rule is known by name."""
    settings.INTEGRITY = IN_PARTS
    found = WORLDS["accounts"]
    found.make()
    registry.register("toy", [found.rule])
    yield found
    registry.unregister(found.rule.label)
