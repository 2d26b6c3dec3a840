"""What the database says of a single row, told from what ends the whole import."""

from __future__ import annotations

from django.db import DatabaseError
from psycopg import errors

from integrity.exceptions import sentence

OF_A_ROW = (errors.IntegrityError, errors.DataError, errors.RaiseException)
OF_SOMEBODY = (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure)


def is_of_rows(error: DatabaseError) -> bool:
    """Whether it is about rows, or about somebody who holds them, and not about the import as a whole."""
    return isinstance(error.__cause__, (*OF_A_ROW, *OF_SOMEBODY))


def explained(error: Exception) -> tuple[str, str | None, str]:
    """Field, value and reason, as far as the database tells them."""
    diag = getattr(error.__cause__, "diag", None)
    if isinstance(error.__cause__, OF_SOMEBODY):
        return "", None, "somebody else holds the row, or one that it waits for"
    if diag is None:
        return "", None, str(error)
    reason = sentence(error)
    if diag.message_detail:
        reason += f" ({diag.message_detail.rstrip('.')})"
    return diag.column_name or "", None, reason
