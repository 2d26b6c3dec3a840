"""What a written row gets besides the columns of its feed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Model
from django.utils import timezone

from integrity.repairing.defaults import unplanned


def defaults(model: type[Model], sets: Sequence[str], connection: Any) -> dict[str, Any]:
    """Columns of a new row that the model fills in with the same value each time."""
    found: dict[str, Any] = {}
    for field in unplanned(model, sets):
        if getattr(field, "auto_now", False) or getattr(field, "auto_now_add", False):
            found[field.column] = field.get_db_prep_save(timezone.now(), connection)
        elif field.has_default() and not callable(field.default):
            found[field.column] = field.get_db_prep_save(field.get_default(), connection)
        elif not field.has_default() and not field.null and field.empty_strings_allowed and field.blank:
            found[field.column] = ""
    return found


def stamps(model: type[Model], sets: Sequence[str], connection: Any) -> dict[str, Any]:
    """Columns that say when a row was last changed."""
    return {
        str(field.column): field.get_db_prep_save(timezone.now(), connection)
        for field in model._meta.local_concrete_fields
        if getattr(field, "auto_now", False) and field.column not in sets
    }
