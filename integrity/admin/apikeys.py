"""The administration of API keys: a new one is shown exactly once, and a revoked one stays as a record."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from integrity.admin.base import Page
from integrity.apikeys import SCOPES, create_key, revoke_key
from integrity.models import ApiKey
from integrity.permissions import may


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new key; nobody gives it a scope that they lack themselves."""

    scopes = forms.MultipleChoiceField(
        choices=[(scope, scope) for scope in SCOPES],
        widget=forms.CheckboxSelectMultiple,
        help_text="What the key may do: no more than you may yourself.",
    )

    class Meta:
        model = ApiKey
        fields = ["name", "scopes", "expires_at"]

    def clean_expires_at(self) -> Any:
        at = self.cleaned_data["expires_at"]
        if at is not None and at <= timezone.now():
            raise forms.ValidationError("Choose a time to come, or none.")
        return at


@admin.register(ApiKey)
class ApiKeyAdmin(Page):
    """Keys are added and revoked, never changed and never deleted."""

    list_display = ("name", "prefix", "scopes_told", "state", "created_by", "last_used_at")
    search_fields = ("name", "prefix", "created_by")
    ordering = ("-pk",)
    readonly_fields = ("prefix", "scopes_told", "state", "created_at", "created_by", "expires_at", "last_used_at")
    actions = ("revoke",)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is not None:
            return super().get_form(request, obj, change, **kwargs)
        form = super().get_form(request, obj, change, form=KeyForm, **kwargs)
        # All forms of this kind share the field; the choices are this request's.
        scopes: Any = deepcopy(form.base_fields["scopes"])
        scopes.choices = [(scope, scope) for scope in SCOPES if may(request.user, scope)]
        form.base_fields["scopes"] = scopes
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["name", "scopes", "expires_at"] if obj is None else ["name", *self.readonly_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is None else self.readonly_fields

    def has_add_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("integrity.add_apikey"))

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """Whoever may change keys may revoke them; nobody may do anything else to them."""
        return bool(request.user.has_perm("integrity.change_apikey"))

    @admin.display(description="scopes")
    def scopes_told(self, key: ApiKey) -> str:
        return ", ".join(key.scopes)

    @admin.display(description="state", ordering="revoked_at")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at:
            return f"revoked {timezone.localtime(key.revoked_at):%Y-%m-%d %H:%M}"
        if key.expires_at:
            word = "expired" if key.expires_at <= timezone.now() else "valid until"
            return f"{word} {timezone.localtime(key.expires_at):%Y-%m-%d %H:%M}"
        return "valid"

    # Adding

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        """The verb makes the row; what the form made is filled from it, for the pages and logs that follow."""
        by = request.user.get_username()
        plain, made = create_key(obj.name, form.cleaned_data["scopes"], by=by, expires_at=obj.expires_at)
        obj.__dict__.update(made.__dict__)
        request.new_key = plain  # type: ignore[attr-defined]

    def response_add(self, request: HttpRequest, obj: ApiKey, post_url_continue: Any = None) -> HttpResponse:
        """Show the key in the answer itself: a redirect would have to keep it somewhere."""
        plain = request.new_key  # type: ignore[attr-defined]
        response = self.page(request, "new_key.html", title=f"The key of {obj.name}", key=plain, record=obj)
        add_never_cache_headers(response)
        return response

    # Revoking

    @admin.action(description="Revoke: the key opens nothing any more", permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> HttpResponse | None:
        """Ask first: a revoked key does not come back."""
        valid = list(queryset.filter(revoked_at=None))
        if not valid:
            messages.info(request, "Every key that was chosen is revoked already.")
            return None
        if request.POST.get("confirmed"):
            for key in valid:
                revoke_key(key.prefix)
                self.log_change(request, key, "Revoked.")
            messages.success(request, f"{len(valid)} key{'s are' if len(valid) > 1 else ' is'} revoked.")
            return None
        return self.page(request, "revoke.html", title="Revoke keys?", keys=valid, checkbox=ACTION_CHECKBOX_NAME)
