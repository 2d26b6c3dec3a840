"""The one place that knows which admin is in use, and what all pages of ours share."""

from typing import TYPE_CHECKING, Any

from django.apps import apps
from django.contrib import admin
from django.http import HttpRequest

# Fields that a form declares itself are not dressed by the theme.
if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
    TabularInline = admin.TabularInline[Any, Any]
    from django.contrib.admin.widgets import (
        AdminIntegerFieldWidget,
        AdminRadioSelect,
        AdminSplitDateTime,
        AdminTextareaWidget,
        AdminTextInputWidget,
    )
elif apps.is_installed("unfold"):
    from unfold.admin import ModelAdmin, TabularInline
    from unfold.widgets import UnfoldAdminIntegerFieldWidget as AdminIntegerFieldWidget
    from unfold.widgets import UnfoldAdminRadioSelectWidget as AdminRadioSelect
    from unfold.widgets import UnfoldAdminSplitDateTimeWidget as AdminSplitDateTime
    from unfold.widgets import UnfoldAdminTextareaWidget as AdminTextareaWidget
    from unfold.widgets import UnfoldAdminTextInputWidget as AdminTextInputWidget
else:
    from django.contrib.admin.widgets import (
        AdminIntegerFieldWidget,
        AdminRadioSelect,
        AdminSplitDateTime,
        AdminTextareaWidget,
        AdminTextInputWidget,
    )

    ModelAdmin = admin.ModelAdmin
    TabularInline = admin.TabularInline

__all__ = [
    "AdminIntegerFieldWidget",
    "AdminRadioSelect",
    "AdminSplitDateTime",
    "AdminTextInputWidget",
    "AdminTextareaWidget",
    "Kept",
    "ModelAdmin",
    "Page",
    "ReadOnly",
    "TabularInline",
]

PROTECTED_SHOWN = 10


class Page(ModelAdmin):
    """What every page of ours shares."""

    list_per_page = 50
    # A second count of a table of millions, for the words "of 5,000,000 in all", is not worth its time.
    show_full_result_count = False

    class Media:
        css = {"all": ["holdtrue/admin.css"]}

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What is kept for its history is said to be so, the first few rows of it, and not to lack a permission."""
        found, counts, lacking, protected = super().get_deleted_objects(objs, request)
        if protected:
            more = len(protected) - PROTECTED_SHOWN
            protected = [*protected[:PROTECTED_SHOWN], *([f"and {more:,} more"] if more > 0 else [])]
            lacking = set()
        return found, counts, lacking, protected


class Kept(Page):
    """Rows that are never deleted here."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnly(Kept):
    """Rows that only verbs, or the database, write."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
