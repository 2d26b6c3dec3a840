"""The ways to people: a kind of channel each in a file of its own; which there are stands in INTEGRITY_ALERTS."""

from integrity.alerts.channels.declared import channel, channels, check_channels

__all__ = ["channel", "channels", "check_channels"]
