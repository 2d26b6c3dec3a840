"""Kilometres as people read them; the exact figure stays in the page as the value of a <data> element."""

from decimal import ROUND_HALF_UP, Decimal

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

register = template.Library()


def rounded(km: Decimal) -> str:
    """`0.03`, `12.35`, `248.1`, `12,482`: four digits or so, whatever the size."""
    digits = Decimal("0.01") if abs(km) < 100 else Decimal("0.1") if abs(km) < 10_000 else Decimal(1)
    return f"{km.quantize(digits, ROUND_HALF_UP):,f}"


@register.filter
def km(value: Decimal) -> SafeString:
    """A distance, rounded to be read, with its unit."""
    return format_html('<data class="km" value="{}">{}<abbr>km</abbr></data>', f"{value:f}", rounded(value))


@register.filter
def exact(value: Decimal) -> str:
    """A distance with all its places: `1,234.56789`."""
    return f"{value:,f}"


@register.filter
def exact_km(value: Decimal | None) -> str:
    """The same with its unit; a dash where there is no distance."""
    return "-" if value is None else f"{value:,f} km"


@register.filter
def share_of(value: Decimal, most: Decimal) -> str:
    """How long a bar is: percent of the largest, at least a sliver for what is not nothing."""
    return f"{max(value / most * 100, Decimal('0.5')):.1f}" if value and most else "0"
