"""Core stats and their history. A change is made with a reason, by the verb that signs it."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest

from config.administration.base import AdminTextareaWidget, Kept, ReadOnly
from stats.changing import LONGEST_REASON, change
from stats.columns import CHANGEABLE, STATS
from stats.models import CoreStat, FallbackReads, StatHistory


class CoreStatForm(forms.ModelForm):  # type: ignore[type-arg]
    """With the reason that a change needs."""

    reason = forms.CharField(
        required=False,
        max_length=LONGEST_REASON,
        widget=AdminTextareaWidget({"rows": 2}),
        help_text="Needed where a stat changes; the history keeps it with your name.",
    )

    class Meta:
        model = CoreStat
        fields = list(CHANGEABLE)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if set(CHANGEABLE) & set(self.changed_data) and not (cleaned.get("reason") or "").strip():
            self.add_error("reason", "Say why: the history keeps the reason.")
        return cleaned


@admin.register(CoreStat)
class CoreStatAdmin(Kept):
    """The stats of a user; the level follows the experience."""

    form = CoreStatForm
    fieldsets = [
        (None, {"fields": ["user", "level", "created_at", "updated_at"]}),
        ("Stats", {"fields": [*CHANGEABLE, "reason"]}),
        ("History", {"fields": ["latest"]}),
    ]
    readonly_fields = ["user", "level", "created_at", "updated_at", "latest"]
    list_display = ["user", *STATS, "experience_points", "level", "updated_at"]
    list_select_related = ["user"]
    search_fields = ["user__username"]
    ordering = ["-updated_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description="latest changes")
    def latest(self, found: CoreStat) -> str:
        lines = StatHistory.objects.filter(user=found.user_id).order_by("-id")[:20]
        return "\n".join(f"{line.at:%Y-%m-%d %H:%M} {line}: {line.reason} ({line.by})" for line in lines) or "-"

    def save_model(self, request: HttpRequest, obj: CoreStat, form: Any, change: bool) -> None:
        """What differs, by the verb."""
        values = {name: form.cleaned_data[name] for name in form.changed_data if name in CHANGEABLE}
        if values:
            apply(obj, values, request.user.get_username(), form.cleaned_data["reason"])


def apply(found: CoreStat, values: dict[str, int], by: str, reason: str) -> None:
    """The verb, whose name Django's admin has taken for an argument."""
    change(found.user, values, by=by, reason=reason)


@admin.register(StatHistory)
class StatHistoryAdmin(ReadOnly):
    """Every change, the latest first."""

    list_display = ["user", "stat", "old", "new", "change", "reason", "by", "at"]
    list_select_related = ["user"]
    list_filter = ["stat"]
    search_fields = ["user__username", "reason", "by"]
    date_hierarchy = "at"


@admin.register(FallbackReads)
class FallbackReadsAdmin(ReadOnly):
    """How often readers still needed the old table."""

    list_display = ["day", "reads", "last_at"]
