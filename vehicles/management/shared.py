"""What the commands share."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from integrity.exceptions import UsageError
from vehicles.exceptions import VehiclesError
from vehicles.finding import Reference


def add_vehicle(parser: Any) -> None:
    """The option that chooses one vehicle."""
    parser.add_argument("--vehicle", type=reference, metavar="ID", help="Only this vehicle, by its number or uuid.")


def reference(text: str) -> Reference:
    """A number or a uuid, for argparse."""
    if text.isdecimal() and 1 <= int(text) < 2**63:
        return int(text)
    try:
        return UUID(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is neither the number of a vehicle nor its uuid") from None


@contextmanager
def refusals() -> Iterator[None]:
    """A refusal of a verb as a usage error, with its exit code."""
    try:
        yield
    except VehiclesError as error:
        raise UsageError(str(error)) from error
