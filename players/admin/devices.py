"""Devices: the boxes on the bikes, and how many keys open each."""

from typing import Any

from django.contrib import admin
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.administration.base import Page
from players.models import Device


@admin.register(Device)
class DeviceAdmin(Page):
    """A device with history cannot be deleted; one that has been retired stops collecting."""

    fields = ["name", "group", "collects", "keys"]
    readonly_fields = ["keys"]
    autocomplete_fields = ["group"]
    list_display = ["name", "group", "keys", "collects"]
    list_filter = ["collects"]
    list_select_related = ["group"]
    search_fields = ["name", "group__name"]
    ordering = ["name"]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Device]":
        valid = Count("api_keys", filter=Q(api_keys__revoked_at=None))
        queryset: QuerySet[Device] = super().get_queryset(request).annotate(valid_keys=valid)
        return queryset

    @admin.display(description="valid keys", ordering="valid_keys")
    def keys(self, device: Any) -> SafeString | str:
        if device.pk is None:
            return "-"
        link = f"{reverse('admin:players_apikey_changelist')}?device__id__exact={device.pk}"
        return format_html('<a href="{}">{}</a>', link, device.valid_keys)
