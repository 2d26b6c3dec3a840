"""The API asked what its own document allows, and what it does not: a few questions each, in a soak many."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, checks
from schemathesis.specs.openapi import checks as openapi

from config.api import api

KEPT = [
    checks.not_a_server_error,
    openapi.status_code_conformance,
    openapi.content_type_conformance,
    openapi.response_schema_conformance,
    openapi.response_headers_conformance,
]
CHECKS = [*KEPT, openapi.negative_data_rejection]
"""Beside what is kept always: that what is wrong on purpose is refused."""
TOO_LARGE = 413
UNLIMITED = {"KEY_REQUESTS_PER_MINUTE": 0, "ADDRESS_REQUESTS_PER_MINUTE": 0}


@cache
def document() -> dict[str, Any]:
    """The document itself, which takes long to make."""
    made: dict[str, Any] = api.get_openapi_schema()
    return made


def often(few: int, many: int) -> Any:
    """For a test with the argument ``examples``: so many questions of each kind, and in a soak so many."""
    return pytest.mark.parametrize("examples", [few, pytest.param(many, marks=pytest.mark.soak)])


def operation(method: str, path: str) -> Any:
    """One operation of the document, such as ``GET /api/leaderboard``. The service must know the host ``*``."""
    return _loaded()[path][method]


@cache
def _loaded() -> Any:
    return schemathesis.openapi.from_wsgi("/api/openapi.json", get_wsgi_application())


def fuzz(asked: Any, ask: Callable[..., None], examples: int) -> None:
    """Call ``ask(case, hit)``; with ``hit`` it may put numbers that exist into the case.

    What is wrong on purpose may be the number itself, which must not be replaced by a right one then.
    """
    bounded = settings(
        max_examples=examples, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
    )
    for mode, hit in (
        (GenerationMode.POSITIVE, True),
        (GenerationMode.POSITIVE, False),
        (GenerationMode.NEGATIVE, False),
    ):
        bounded(given(case=asked.as_strategy(generation_mode=mode), hit=st.just(hit))(ask))()


def validate(case: Any, response: Any, expected: list[Any] = CHECKS) -> None:
    """Raise what the answer to a case breaks. A body beyond all limits is not even read: the checks know no such."""
    if response.status_code != TOO_LARGE:
        case.validate_response(response, checks=KEPT if _may_read_as_right(case) else expected)


def _may_read_as_right(case: Any) -> bool:
    """In an address a list of one text is that text, and no longer wrong for being a list."""
    values = dict(case.query or {}).values()
    return any(isinstance(value, list | tuple) and len(value) == 1 for value in values)
