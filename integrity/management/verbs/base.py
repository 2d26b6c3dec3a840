"""What a verb of the command is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from integrity.management.base import EngineCommand


@dataclass(frozen=True)
class Verb:
    """One word behind ``manage.py integrity``."""

    name: str
    help: str
    example: str
    add_arguments: Callable[[Any], None]
    perform: Callable[[EngineCommand, dict[str, Any]], None]
    """Calls a verb of the engine with what was typed, prints the answer and exits with its code."""
