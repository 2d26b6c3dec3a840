"""The queue of anomalies: what looks wrong, until a person accepts or corrects it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString

from config.administration.base import (
    AdminIntegerFieldWidget,
    AdminRadioSelect,
    AdminSplitDateTime,
    AdminTextareaWidget,
    Kept,
)
from vehicles.admin.base import history_link, miles
from vehicles.anomalies import GROW, MISTYPED, RULES, STALE, accept, correct, subject_of
from vehicles.exceptions import Unknown, VehiclesError
from vehicles.models import Anomaly
from vehicles.readings import MAX_MILES

NAMES = {GROW: "falls or rises too fast", MISTYPED: "mistyped", STALE: "stale override"}
ACCEPT, CORRECT = "accept", "correct"


class Decision(forms.ModelForm):  # type: ignore[type-arg]
    """What a person decides."""

    decision = forms.ChoiceField(
        choices=[(ACCEPT, "It is right: accept it"), (CORRECT, "It is wrong: correct the reading")],
        widget=AdminRadioSelect,
    )
    miles = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_MILES,
        widget=AdminIntegerFieldWidget,
        help_text="What the odometer read.",
    )
    until = forms.SplitDateTimeField(
        required=False, widget=AdminSplitDateTime, help_text="When an acceptance expires; empty: never."
    )
    reason = forms.CharField(
        max_length=500,
        widget=AdminTextareaWidget({"rows": 2}),
        error_messages={"required": "Say why: the decision is kept with its reason."},
    )

    class Meta:
        model = Anomaly
        fields: list[str] = []

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "miles" in self.fields:
            self.initial["miles"] = self.instance.evidence.get("suggested")

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("decision") == CORRECT and self.instance.rule == STALE:
            self.add_error("decision", "An override is not corrected here: change or clear it at its vehicle.")
        elif cleaned.get("decision") == CORRECT and cleaned.get("miles") is None:
            self.add_error("miles", "Say what the odometer read.")
        if cleaned.get("until") and cleaned["until"] <= timezone.now():
            self.add_error("until", "Give a time to come.")
        return cleaned


@admin.register(Anomaly)
class AnomalyAdmin(Kept):
    """Filled by `check_mileage_anomalies`."""

    form = Decision
    list_display = ["what", "vehicle", "value", "suggested", "why", "first_seen", "status"]
    list_filter = ["status"]
    ordering = ["-first_seen", "pk"]
    fieldsets = [
        (None, {"fields": ["what", "vehicle", "value", "suggested", "why", "neighbours", "first_seen", "status"]}),
        ("Decision", {"fields": ["decision", "miles", "until", "reason"]}),
    ]
    readonly_fields = ["what", "vehicle", "value", "suggested", "why", "neighbours", "first_seen", "status"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Anomaly]":
        return super().get_queryset(request).filter(rule__in=RULES)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        # What is open is what there is to do; the filter shows the rest.
        if "status__exact" not in request.GET and not request.GET.get("q"):
            query: Any = request.GET.copy()
            query["status__exact"] = Anomaly.Status.OPEN
            request.GET = query
        return super().get_changelist_instance(request)

    @admin.display(description="what")
    def what(self, anomaly: Anomaly) -> str:
        return NAMES[anomaly.rule]

    @admin.display(description="vehicle")
    def vehicle(self, anomaly: Anomaly) -> SafeString | str:
        try:
            vehicle, event = subject_of(anomaly)
        except Unknown as gone:
            return str(gone)
        at = f", {event.occurred_at:%Y-%m-%d %H:%M}" if event else ""
        return history_link(vehicle, f"{vehicle}{at}")

    @admin.display(description="reads")
    def value(self, anomaly: Anomaly) -> str:
        return miles(next(iter((anomaly.actual or {"": None}).values())))

    @admin.display(description="most likely meant")
    def suggested(self, anomaly: Anomaly) -> str:
        if anomaly.rule == STALE:
            return miles(next(iter((anomaly.expected or {"": None}).values())))
        return miles(anomaly.evidence.get("suggested"))

    @admin.display(description="why")
    def why(self, anomaly: Anomaly) -> str:
        return str(anomaly.evidence.get("why", "three newer readings contradict this override"))

    @admin.display(description="before and after")
    def neighbours(self, anomaly: Anomaly) -> str:
        if anomaly.rule == STALE:
            return ", ".join(miles(reading) for reading in anomaly.evidence.get("readings", []))
        return f"{miles(anomaly.evidence.get('previous'))} and {miles(anomaly.evidence.get('next'))}"

    def save_model(self, request: HttpRequest, obj: Anomaly, form: Any, change: bool) -> None:
        by, decided = request.user.get_username(), form.cleaned_data
        try:
            vehicle, event = subject_of(obj)
            if decided["decision"] == ACCEPT:
                of = event.pk if event else None
                accept(vehicle.pk, of, by=by, because=decided["reason"], until=decided["until"])
            elif event is not None:
                correct(vehicle.pk, event.pk, decided["miles"], by=by, reason=decided["reason"])
        except VehiclesError as refused:
            messages.error(request, str(refused))
