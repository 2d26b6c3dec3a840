"""What the dashboard takes: one stat, its new value, and why."""

from typing import Any

from django import forms

from stats.changing import LONGEST_REASON
from stats.columns import CHANGEABLE, limits_of
from stats.exceptions import Invalid

NAMES = {stat: stat.replace("_", " ").capitalize() for stat in CHANGEABLE}


class ChangeForm(forms.Form):
    """A change of one stat."""

    stat = forms.ChoiceField(label="What", choices=list(NAMES.items()))
    value = forms.IntegerField(label="New value")
    reason = forms.CharField(label="Why", max_length=LONGEST_REASON, widget=forms.TextInput({"autocomplete": "off"}))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if {"stat", "value"} <= cleaned.keys():
            least, most = limits_of(cleaned["stat"])
            if not least <= cleaned["value"] <= most:
                self.add_error("value", f"Give a whole number from {least} to {most:,}.")
        return cleaned

    def refuse(self, error: Invalid) -> None:
        """Say beside its field what a verb refuses."""
        field = {"reason": "reason"}.get(error.field, "value")
        self.add_error(field, str(error))
