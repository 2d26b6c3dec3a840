"""What is asked of PostgreSQL's planner where it would choose wrongly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from integrity.statement import compose, fetch, joined, name, value

_HASHED = {"enable_sort": "off", "parallel_setup_cost": "0", "parallel_tuple_cost": "0"}


@contextmanager
def hashing(connection: Any) -> Iterator[None]:
    """Rows are put together by their hashes and in parallel, whatever the planner thinks.

    It takes columns that go together for independent, expects hundreds of thousands of groups where there are a few,
    and sorts all rows, which takes six times as long.
    """
    own = joined(", ", (compose("current_setting({s}) AS {n}", s=value(s), n=name(s)) for s in _HASHED))
    (before,) = fetch(connection, compose("SELECT {own}", own=own))
    _set(connection, _HASHED)
    yield
    _set(connection, before)


def _set(connection: Any, settings: Mapping[str, str]) -> None:
    """Until the transaction ends."""
    each = (compose("set_config({s}, {v}, true)", s=value(s), v=value(v)) for s, v in settings.items())
    fetch(connection, compose("SELECT {each}", each=joined(", ", each)))
