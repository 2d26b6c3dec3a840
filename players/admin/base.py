"""Kilometres in the administration."""

from decimal import Decimal

from django.utils.html import format_html
from django.utils.safestring import SafeString

from players.templatetags.kilometres import rounded


def distance(value: Decimal | None) -> SafeString:
    """A distance in a column of figures; the exact one is shown on hover."""
    if value is None:
        return format_html('<span class="km">{}</span>', "-")
    return format_html('<span class="km" title="{} km">{} km</span>', f"{value:,f}", rounded(value))


def signed(value: Decimal) -> str:
    """A difference with its sign and all its places."""
    return f"{value:+,f} km"
