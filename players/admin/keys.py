"""API keys: a new one is shown exactly once, and a revoked one stays as a record."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.administration.base import Page
from players.keys import create_key, revoke_key
from players.models import ApiKey


class Validity(admin.SimpleListFilter):
    """Keys that open something, or those that no longer do."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("valid", "Valid"), ("revoked", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> "QuerySet[ApiKey]":
        match self.value():
            case "valid":
                return queryset.filter(revoked_at=None)
            case "revoked":
                return queryset.exclude(revoked_at=None)
        return queryset


@admin.register(ApiKey)
class KeyAdmin(Page):
    """Keys are added and revoked, never changed and never deleted."""

    list_display = ["name", "begins", "serves", "state", "created_at", "last_used_at"]
    fields = ["name", "begins", "serves", "state", "created_at", "last_used_at"]
    readonly_fields = ["begins", "serves", "state", "created_at", "last_used_at"]
    autocomplete_fields = ["device"]
    list_select_related = ["device"]
    list_filter = [Validity]
    search_fields = ["name", "prefix", "device__name"]
    ordering = ["-created_at", "-pk"]
    actions = ["revoke"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return ["name", "device"] if obj is None else list(super().get_fields(request, obj))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        return [] if obj is None else list(super().get_readonly_fields(request, obj))

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup == "device__id__exact" or super().lookup_allowed(lookup, value, request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change keys may revoke them; nobody may do anything else to them."""
        return request.user.has_perm("players.change_apikey")

    @admin.display(description="begins with", ordering="prefix")
    def begins(self, key: ApiKey) -> SafeString:
        return format_html("<code>{}</code>", key.prefix)

    @admin.display(description="serves", ordering="device__name")
    def serves(self, key: ApiKey) -> str:
        return key.device.name if key.device else "all devices"

    @admin.display(description="state", ordering="revoked_at")
    def state(self, key: ApiKey) -> SafeString:
        if key.revoked_at:
            return format_html('<span class="verdict bad">revoked {}</span>', f"{key.revoked_at:%Y-%m-%d %H:%M}")
        return format_html('<span class="verdict good">{}</span>', "valid")

    # Adding

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """The verb makes the row; what the form made is filled from it, for the pages and logs that follow."""
        plain, made = create_key(obj.name, obj.device)
        obj.__dict__.update(made.__dict__)
        request.new_key = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """Show the key in the answer itself: a redirect would have to keep it somewhere."""
        context = {"title": f"The key of {obj.name}", "key": request.new_key, "record": obj}  # type: ignore[attr-defined]
        response = self._page(request, "admin/players/new_key.html", context)
        add_never_cache_headers(response)
        return response

    # Revoking

    @admin.action(description="Revoke: the key opens nothing any more", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: "QuerySet[ApiKey]") -> HttpResponse | None:
        """Ask first: a revoked key does not come back."""
        valid = list(queryset.filter(revoked_at=None).select_related("device"))
        if not valid:
            messages.info(request, "Every key that was chosen is revoked already.")
            return None
        if request.POST.get("confirmed"):
            for key in valid:
                revoke_key(key)
            messages.success(request, f"{len(valid)} key{'s are' if len(valid) > 1 else ' is'} revoked.")
            return None
        context = {"title": "Revoke keys?", "keys": valid, "checkbox": ACTION_CHECKBOX_NAME}
        return self._page(request, "admin/players/revoke.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        request.current_app = self.admin_site.name
        back = reverse("admin:players_apikey_changelist")
        shared = {**self.admin_site.each_context(request), "opts": self.opts, "media": self.media, "back": back}
        return TemplateResponse(request, template, shared | context)
