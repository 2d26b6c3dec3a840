"""What a new row needs beside the columns that a repair plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model


def unplanned(model: type[Model], sets: Sequence[str]) -> list[Any]:
    """Columns of a new row that neither the plan nor the database fills in."""
    return [
        field
        for field in model._meta.local_concrete_fields
        if field.column not in sets
        and not field.generated
        and not field.has_db_default()
        and field.get_internal_type() not in {"AutoField", "BigAutoField", "SmallAutoField"}
    ]
