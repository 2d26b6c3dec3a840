"""API keys of bikes: made, shown once, checked, revoked. They look like those of the engine, and open nothing of it."""

from datetime import datetime, timedelta
from hmac import compare_digest

from django.db.models import Q
from django.utils import timezone

from integrity.apikeys import digest, mint
from players.exceptions import NoKey, WrongKey
from players.models import ApiKey, Device
from players.sql import execute

HEADER = "X-Api-Key"
# By hand: this precedes every report, and the ORM would take longer to put it together than PostgreSQL to answer.
COLUMNS = [field.attname for field in ApiKey._meta.concrete_fields]
FIND = f"SELECT {', '.join(COLUMNS)} FROM players_apikey WHERE prefix = %s"  # noqa: S608  (names of our own columns)
USE_IS_NOTED_EVERY = timedelta(minutes=1)


def create_key(name: str, device: Device | None = None) -> tuple[str, ApiKey]:
    """A new key and its record: for one device, or without one a global key that serves all.

    The key itself is in no table, so this is the only time that it can be shown.
    """
    prefix, plain = mint()
    record = ApiKey.objects.create(
        name=name, prefix=prefix, hash=digest(plain), device=device, created_at=timezone.now()
    )
    return plain, record


def revoke_key(key: ApiKey) -> None:
    """From the next request on the key opens nothing. Revoking it again changes nothing."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())
    key.refresh_from_db(fields=["revoked_at"])


def check_key(plain: str | None) -> ApiKey:
    """The record of a valid key. Raises NoKey and WrongKey."""
    if not plain:
        raise NoKey(f"Send an API key in the header {HEADER}.", HEADER)
    record = _find(plain.partition(".")[0])
    if record is None or record.revoked_at or not compare_digest(record.hash, digest(plain)):
        raise WrongKey("This API key is unknown or revoked.", HEADER)
    _note_use(record, timezone.now())
    return record


def _find(prefix: str) -> ApiKey | None:
    if not (prefix.isascii() and prefix.isalnum()):
        return None
    rows = execute(FIND, [prefix])
    return ApiKey.from_db(None, COLUMNS, rows[0]) if rows else None


def _note_use(key: ApiKey, now: datetime) -> None:
    """Note the use once a minute: a global key is used by every bike, and each would wait for the others' notes."""
    noted_before = now - USE_IS_NOTED_EVERY
    if key.last_used_at is None or key.last_used_at < noted_before:
        stale = Q(last_used_at=None) | Q(last_used_at__lt=noted_before)
        ApiKey.objects.filter(stale, pk=key.pk).update(last_used_at=now)
