"""The engine's settings on one page; nothing else reads ``django.conf.settings``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class Conf:
    """``INTEGRITY = {...}`` in Django's settings; what is left out has the value below."""

    STORED_VIOLATIONS: int = 10_000
    """How many violations of one rule are kept as rows, the lowest keys first; counts stay exact."""
    BATCH_KEYS: int = 5_000
    """Keys in the first batch of a repair; later ones follow BATCH_SECONDS."""
    BATCH_SECONDS: float = 1.0
    """How long a batch, and so its row locks, should last."""
    WINDOW_KEYS: int = 100_000
    """Keys that a repair holds in memory between two looks at the whole table."""
    PART_KEYS: int = 10_000
    """Violating keys of a part of a repair that workers share; one with fewer in all is not divided."""
    PART_ROWS: int = 500_000
    """Rows of a part of an analysis that workers share."""
    PART_ATTEMPTS: int = 5
    """How often a part is begun that workers die of, or that fails, before it is given up."""
    LOCK_TIMEOUT_MS: int = 400
    """How long a row is waited for while no other is held, and eight times as long as anything else. Well below
    PostgreSQL's deadlock_timeout (1 s), so that in a circle of waits the repair gives up and never the user.
    """
    LOCK_RETRIES: int = 4
    """Attempts at a batch that meets a lock or a deadlock, before it is halved and at last skipped."""
    REPLICATION_LAG_SECONDS: float = 10.0
    """A repair waits while a replica replays so much later; 0: never."""
    VACUUM_WAIT_SECONDS: float = 60.0
    """How long a repair waits for a vacuum of a table that it writes, before it goes on beside it."""
    HEARTBEAT_SECONDS: float = 60.0
    """A run that has not been heard of for so long counts as dead and may be taken over."""
    MAX_AFFECTED_ROWS: int = 100
    MAX_AFFECTED_SHARE: float = 0.05
    """The brake: a repair that would write more than the greater of the two is stopped before it writes."""
    SWAP_SECONDS: float = 60.0
    """How long a rebuilt table waits for its moment: for transactions that began before it, and for a free table; so
    long a phase of a consolidation waits for its tables.
    """
    CHANGED_KEYS: int = 10_000
    """Of a tracked rule so many changed keys are looked at one by one; for more the whole table is quicker."""
    CASCADE_DEPTH: int = 5
    """How many tables deep a delete is followed before it is refused."""
    API_SECONDS: float = 20.0
    """How long a verb may last within a request of the API: less than the web server waits for an answer."""
    API_LIMIT: str = ""
    """Path of a function (request, prefix of the key or "") that counts a request and raises where it is too many."""
    UPLOAD_DIR: str = ""
    """Where files that the API is sent wait for their import, private to this account; on a disk that the workers share
    where they run on other machines. Empty: a folder below the one for temporary files.
    """
    UPLOAD_BYTES: int = 256 * 1024 * 1024
    """The largest request with files."""
    SCHEDULES: Mapping[str, str] = field(default_factory=dict)
    """When rules are looked at that do not say it themselves, by "app", "app.name" or "tag:word"; the first counts."""
    ADMIN_SECONDS: float = 20.0
    """How long what the administration starts may last: less than the web server waits for an answer. What is known to
    take longer is told as a command; what turns out to ends between two batches.
    """
    URL: str = ""
    """Where the site is served, such as https://data.example.com: messages lead to its administration."""
    ALERT_RETRY_HOURS: float = 72.0
    """How long a message is tried to be delivered before it waits for a person."""
    ALERT_SWEEP_HOURS: float = 0.0
    """A rule without a schedule of its own is overdue when it was not looked at as a whole for so long; 0: never."""


def conf() -> Conf:
    """The settings now in force. Raises ImproperlyConfigured naming an unknown one."""
    given = getattr(settings, "INTEGRITY", {})
    known = {setting.name for setting in fields(Conf)}
    for name in given:
        if name not in known:
            raise ImproperlyConfigured(f"Unknown setting INTEGRITY[{name!r}]. Known: {', '.join(sorted(known))}.")
    return Conf(**given)


def alert_channels() -> Any:
    """``INTEGRITY_ALERTS``, as it stands there: a list of dictionaries, a channel each."""
    return getattr(settings, "INTEGRITY_ALERTS", [])
