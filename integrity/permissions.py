"""Who may do what: one permission for each verb, which the administration and the API ask for alike."""

from __future__ import annotations

from typing import Any

from integrity.exceptions import UnknownName

PERMISSIONS: dict[str, tuple[str, ...]] = {
    "read": ("integrity.view_run", "integrity.view_violation", "integrity.view_change"),
    "analyze": ("integrity.analyze",),
    "repair": ("integrity.repair",),
    "undo": ("integrity.undo",),
    "accept": ("integrity.accept",),
    "enforce": ("integrity.enforce",),
    "control": ("integrity.control",),
    "import": ("integrity.import_feed",),
}
"""By the word that a key's scope has too. A dry run needs the permission of its verb; to verify is to analyze."""


def may(user: Any, verb: str) -> bool:
    """Whether somebody is of the staff and has what a verb needs. Raises UnknownName."""
    return bool(getattr(user, "is_staff", False) and user.has_perms(needed(verb)))


def needed(verb: str) -> tuple[str, ...]:
    """The permissions that a verb needs. Raises UnknownName."""
    if verb not in PERMISSIONS:
        raise UnknownName("verb", verb, list(PERMISSIONS))
    return PERMISSIONS[verb]
