"""Limits on requests, for all processes together: PostgreSQL counts.

One row per key or address says until when its requests have spent their time. Each moves that time on by its share of a
minute, and is refused where the time would lie more than a minute ahead: a whole minute's requests may come at once,
and one more whenever a share has passed. The table is not logged, so that counting waits for no disk.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from math import ceil

from players.conf import conf
from players.exceptions import TooMany
from players.sql import affected, execute

MINUTE = 60.0
SPEND = """
    INSERT INTO players_ratelimit AS known (subject, spent_until)
    VALUES (%(subject)s, now() + make_interval(secs => %(share)s))
    ON CONFLICT (subject) DO UPDATE
    SET spent_until = greatest(known.spent_until, now()) + make_interval(secs => %(share)s)
    WHERE known.spent_until <= now() + make_interval(secs => %(ahead)s)
"""
WAIT = """
    SELECT extract(epoch FROM spent_until - now()) - %(ahead)s FROM players_ratelimit WHERE subject = %(subject)s
"""
FORGET = "DELETE FROM players_ratelimit WHERE spent_until < now() - interval '1 minute'"


def count_key(prefix: str) -> None:
    """Count a request with a valid key. Raises TooMany."""
    _count(f"key:{prefix}", conf().KEY_REQUESTS_PER_MINUTE)


def count_address(remote: str, forwarded_for: str = "") -> None:
    """Count a request without a valid key for where it comes from. Raises TooMany."""
    _count(f"address:{_network(remote, forwarded_for)}", conf().ADDRESS_REQUESTS_PER_MINUTE)


def forget_limits() -> int:
    """Remove what limits nobody any more; how many rows."""
    return affected(FORGET)


def _count(subject: str, per_minute: int) -> None:
    if not per_minute:
        return
    share = MINUTE / per_minute
    values = {"subject": subject, "share": share, "ahead": MINUTE - share}
    if affected(SPEND, values):
        return
    seconds = max([1, *(ceil(wait) for (wait,) in execute(WAIT, values))])
    raise TooMany(f"More than {per_minute} requests in a minute: try again in {seconds} s.", seconds)


def _network(remote: str, forwarded_for: str) -> str:
    """The address, as the outermost of our own proxies saw it; of IPv6 the network, which is one subscriber's."""
    proxies = conf().TRUSTED_PROXIES
    if proxies and forwarded_for:
        seen = [address.strip() for address in forwarded_for.split(",")]
        remote = seen[-min(proxies, len(seen))]
    try:
        address = ip_address(remote)
    except ValueError:
        return "unknown"
    if isinstance(address, IPv6Address):
        return str(address.ipv4_mapped or ip_network((int(address), 64), strict=False))
    return str(address)
