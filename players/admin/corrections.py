"""Corrections of masters, to be read: who, why, from what to what. They are made on the player's page."""

from django.contrib import admin
from django.utils.safestring import SafeString

from config.administration.base import ReadOnly
from players.admin.base import distance, signed
from players.models import MasterCorrection


@admin.register(MasterCorrection)
class CorrectionAdmin(ReadOnly):
    """The newest first."""

    list_display = ["at", "player", "before", "after", "by", "actor", "reason"]
    fields = ["at", "player", "before", "after", "by", "actor", "reason"]
    list_select_related = ["player"]
    search_fields = ["player__name", "player__id_tag", "actor", "reason"]

    @admin.display(description="before", ordering="before_km")
    def before(self, row: MasterCorrection) -> SafeString:
        return distance(row.before_km)

    @admin.display(description="after", ordering="after_km")
    def after(self, row: MasterCorrection) -> SafeString:
        return distance(row.after_km)

    @admin.display(description="difference")
    def by(self, row: MasterCorrection) -> str:
        return signed(row.after_km - row.before_km)
