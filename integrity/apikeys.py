"""API keys: made, shown once, checked, revoked.

A key is a prefix that finds its row and 32 random bytes. Nobody guesses 256 bits, so a fast hash is enough: a slow one
would cost every request its time and protect nothing more.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest

from django.db.models import Q
from django.utils import timezone

from integrity.exceptions import UnknownName, UsageError, WrongKey
from integrity.models import ApiKey
from integrity.permissions import PERMISSIONS

SCOPES = tuple(PERMISSIONS)
LONGEST_NAME = 100
PREFIX_BYTES, SECRET_BYTES = 6, 32
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_key(name: str, scopes: Iterable[str], *, by: str, expires_at: datetime | None = None) -> tuple[str, ApiKey]:
    """A new key and its record. Raises UsageError and UnknownName.

    The key itself is in no table, so this is the only time that it can be shown.
    """
    chosen = [scope for scope in SCOPES if scope in (wanted := set(scopes))]
    for scope in sorted(wanted - set(SCOPES)):
        raise UnknownName("scope", scope, list(SCOPES))
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise UsageError(f"A key has a name of at most {LONGEST_NAME} letters, by which runs tell who used it.")
    if not chosen:
        raise UsageError(f"A key without a scope opens nothing. Give one or several of: {', '.join(SCOPES)}.")
    if expires_at is not None and expires_at <= timezone.now():
        raise UsageError(f"A key cannot expire at {expires_at:%Y-%m-%d %H:%M %Z}, which is past.")
    prefix, plain = mint()
    record = ApiKey.objects.create(
        name=name.strip(), prefix=prefix, hash=digest(plain), scopes=chosen, created_by=by, expires_at=expires_at
    )
    return plain, record


def revoke_key(prefix: str) -> ApiKey:
    """From the next request on the key opens nothing. Revoking it again changes nothing. Raises UnknownName."""
    found = ApiKey.objects.filter(prefix=prefix).first()
    if found is None:
        known = ApiKey.objects.filter(revoked_at=None).values_list("prefix", flat=True)[:20]
        raise UnknownName("key", prefix, list(known))
    ApiKey.objects.filter(pk=found.pk, revoked_at=None).update(revoked_at=timezone.now())
    found.refresh_from_db(fields=["revoked_at"])
    return found


def check_key(plain: str) -> ApiKey:
    """The record of a valid key. Raises WrongKey."""
    now = timezone.now()
    prefix = plain.partition(".")[0]
    found = ApiKey.objects.filter(prefix=prefix).first() if prefix.isascii() and prefix.isalnum() else None
    if found is None or found.revoked_at or not compare_digest(found.hash, digest(plain)):
        raise WrongKey("This API key is unknown or revoked.")
    if found.expires_at and found.expires_at <= now:
        raise WrongKey(f"This API key expired at {found.expires_at:%Y-%m-%d %H:%M %Z}: ask for a new one.")
    _note_use(found, now)
    return found


def mint() -> tuple[str, str]:
    """A prefix that no other key has, and the whole key that begins with it."""
    prefix = secrets.token_hex(PREFIX_BYTES)
    return prefix, f"{prefix}.{secrets.token_urlsafe(SECRET_BYTES)}"


def digest(plain: str) -> str:
    """What is stored of a key. A header may hold what UTF-8 cannot say; it is wrong then, and no error."""
    return sha256(plain.encode(errors="surrogatepass")).hexdigest()


def _note_use(key: ApiKey, now: datetime) -> None:
    """Note the use once a minute: many programs may use a key, and each would wait for the others' notes."""
    noted_before = now - USE_IS_NOTED_EVERY
    if key.last_used_at is None or key.last_used_at < noted_before:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=noted_before)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
