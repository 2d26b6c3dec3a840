"""The one place that knows which admin is in use, and what all pages of ours share."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from players.templatetags.kilometres import rounded

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
elif apps.is_installed("unfold"):
    from unfold.admin import ModelAdmin
else:
    ModelAdmin = admin.ModelAdmin


PROTECTED_SHOWN = 10


class Page(ModelAdmin):
    """What every page of ours shares."""

    list_per_page = 50
    # A second count of a table of millions, for the words "of 5,000,000 in all", is not worth its time.
    show_full_result_count = False

    class Media:
        css = {"all": ["players/admin.css"]}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What is kept for its history is said to be so, the first few rows of it, and not to lack a permission."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        if protected:
            more = len(protected) - PROTECTED_SHOWN
            protected = [*protected[:PROTECTED_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            lacking = set()
        return found, counts, lacking, protected


class ReadOnly(Page):
    """Rows that only verbs write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


def distance(value: Decimal | None) -> SafeString:
    """A distance in a column of figures; the exact one is shown on hover."""
    if value is None:
        return format_html('<span class="km">{}</span>', "-")
    return format_html('<span class="km" title="{} km">{} km</span>', f"{value:,f}", rounded(value))


def signed(value: Decimal) -> str:
    """A difference with its sign and all its places."""
    return f"{value:+,f} km"
