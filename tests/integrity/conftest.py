"""Processes for the tests that kill them."""

import pytest

from tests.integrity.processes import serving


@pytest.fixture(scope="session")
def forking_process():
    with serving() as processes:
        yield processes


@pytest.fixture
def processes(forking_process):
    """Starts verbs in processes of their own; those still there are ended with the test."""
    yield forking_process
    forking_process.end()
