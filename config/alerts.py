"""The channels of alerts, from what the environment says of each; what it does not name there is not."""

from collections.abc import Sequence
from typing import Any


def channels(*, mail_to: Sequence[str], slack_url: str, webhook_url: str, webhook_secret: str) -> list[dict[str, Any]]:
    """INTEGRITY_ALERTS."""
    found: list[dict[str, Any]] = [{"type": "log"}]
    if mail_to:
        found.append({"type": "mail", "to": list(mail_to), "prefix": "[Holdtrue]"})
    if slack_url:
        found.append({"type": "slack", "url": slack_url})
    if webhook_url:
        found.append({"type": "webhook", "url": webhook_url, "secret": webhook_secret})
    return found
