"""How a value stands in a sentence or a table."""

from __future__ import annotations

import datetime
from typing import Any

from integrity.keys import as_json


def show(value: Any) -> str:
    """A value as people read it."""
    match value:
        case None:
            return "NULL"
        case bool():
            return str(value).lower()
        case dict():
            return ", ".join(f"{name} {show(part)}" for name, part in value.items())
        case list() | tuple():
            return "\n".join(show(item) for item in value)
        case datetime.datetime():
            text = value.isoformat(" ", "auto" if value.second or value.microsecond else "minutes")
            return text.replace("+00:00", " UTC")
    return str(as_json(value))
