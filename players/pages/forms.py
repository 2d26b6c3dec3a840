"""What a report is asked for: whatever is left out has a sensible default, and what is wrong is said by its field."""

from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django import forms
from django.conf import settings
from django.http import QueryDict

from players.exceptions import Invalid
from players.outline import Line
from players.reports import EARLIEST, LATEST, Bucket, local_midnight, time_zone

MOST_BARS = 750
"""A month of hours. More bars than that are thinner than a pixel."""
# Days that a report covers when nobody says from when.
USUAL_DAYS = {Bucket.HOUR: 2, Bucket.DAY: 14, Bucket.WEEK: 12 * 7, Bucket.MONTH: 365}
SHORTEST = {
    Bucket.HOUR: timedelta(hours=1),
    Bucket.DAY: timedelta(days=1),
    Bucket.WEEK: timedelta(7),
    Bucket.MONTH: timedelta(28),
}
ZONES = (
    *("UTC", "Europe/London", "Europe/Berlin", "Europe/Helsinki", "Africa/Johannesburg", "Asia/Dubai", "Asia/Kolkata"),
    *("Asia/Shanghai", "Asia/Tokyo", "Australia/Sydney", "Pacific/Auckland", "America/Sao_Paulo", "America/New_York"),
    *("America/Chicago", "America/Denver", "America/Los_Angeles"),
)


class ReportForm(forms.Form):
    """Dates are local days, both included. `interval()` gives the half-open interval of a valid form."""

    bucket = forms.ChoiceField(
        label="By",
        choices=[(str(bucket), str(bucket)) for bucket in Bucket],
        error_messages={"required": "Choose one."},
    )
    start = forms.DateField(label="From", widget=forms.DateInput({"type": "date"}))
    end = forms.DateField(label="To", widget=forms.DateInput({"type": "date"}), help_text="This day included.")
    group = forms.TypedChoiceField(label="Group", required=False, coerce=int, empty_value=None)
    tz = forms.CharField(label="Time zone", widget=forms.TextInput({"list": "zones", "autocomplete": "off"}))

    def __init__(self, asked: QueryDict, groups: dict[int, Line], now: datetime) -> None:
        given = {name: str(value) for name, value in asked.items() if str(value).strip()}
        super().__init__(_defaults(asked, now) | given)
        indented = [(pk, "\u2003" * line.depth + line.name) for pk, line in groups.items()]
        self.fields["group"].choices = [("", "Everybody"), *indented]  # type: ignore[attr-defined]
        self.fields["group"].error_messages["invalid_choice"] = "There is no such group."
        self.fields["start"].error_messages["invalid"] = "Write a day as 2026-11-20."
        self.fields["end"].error_messages["invalid"] = "Write a day as 2026-11-20."
        self.fields["bucket"].error_messages["invalid_choice"] = "Choose hour, day, week or month."
        for name in self.fields:
            if name in self.errors:
                self.fields[name].widget.attrs["aria-describedby"] = f"{self[name].auto_id}_error"

    def clean_tz(self) -> ZoneInfo:
        try:
            return time_zone(self.cleaned_data["tz"])
        except Invalid as error:
            raise forms.ValidationError(str(error)) from None

    def clean_start(self) -> date:
        return _within_bounds(self.cleaned_data["start"])

    def clean_end(self) -> date:
        return _within_bounds(self.cleaned_data["end"])

    def clean(self) -> dict[str, Any]:
        asked = super().clean() or {}
        if not {"start", "end", "tz", "bucket"} <= asked.keys():
            return asked
        if asked["start"] > asked["end"]:
            self.add_error("end", "This day is before the first one.")
        elif (bars := self._bars()) > MOST_BARS:
            self.add_error("bucket", f"{bars:,} bars would be too many to see: take larger ones, or fewer days.")
        return asked

    def interval(self) -> tuple[datetime, datetime]:
        """From the first moment of the first day to the first moment after the last one."""
        zone = self.cleaned_data["tz"]
        end = self.cleaned_data["end"] + timedelta(days=1)
        return local_midnight(self.cleaned_data["start"], zone), local_midnight(end, zone)

    def _bars(self) -> int:
        start, end = self.interval()
        return (end - start) // SHORTEST[Bucket(self.cleaned_data["bucket"])]


def _within_bounds(day: date) -> date:
    if not EARLIEST.date() < day < LATEST.date() - timedelta(days=1):
        raise forms.ValidationError(f"Choose a day between the years {EARLIEST.year} and {LATEST.year}.")
    return day


def _defaults(asked: QueryDict, now: datetime) -> dict[str, str]:
    bucket = asked.get("bucket", "")
    bucket = Bucket(bucket) if bucket in set(Bucket) else Bucket.DAY
    try:
        today = now.astimezone(time_zone(asked.get("tz") or settings.TIME_ZONE)).date()
    except Invalid:
        today = now.date()
    start = today - timedelta(days=USUAL_DAYS[bucket] - 1)
    return {"bucket": bucket, "start": f"{start}", "end": f"{today}", "tz": settings.TIME_ZONE}
