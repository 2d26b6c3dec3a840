"""The overview for any page of an administration: ``{% integrity_overview %}``."""

from __future__ import annotations

from typing import Any

from django import template

register = template.Library()


@register.inclusion_tag("admin/integrity/overview.html", takes_context=True)
def integrity_overview(context: dict[str, Any]) -> dict[str, Any]:
    """Whether the data are healthy, since when not, and what changed; nothing for who may not read the records."""
    # Templates are found where there is no administration too.
    from integrity.admin.dashboard import dashboard_context

    return dashboard_context(context["request"])
