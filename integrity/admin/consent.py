"""Before anything is done: a page that says what will be, a reason, and one chance to send the form."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from django import forms
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.http import HttpRequest

from integrity.conf import conf
from integrity.exceptions import Cancelled
from integrity.observer import Observer
from integrity.shown import lasting

TRY, APPLY = "try", "apply"


class ReasonForm(forms.Form):
    """Why, for the record."""

    reason = forms.CharField(
        max_length=500,
        strip=True,
        widget=forms.Textarea({"rows": 2, "placeholder": "Why, for the record"}),
        error_messages={"required": "Say why, for the record."},
    )


class RepairForm(ReasonForm):
    """With the dry run that was looked at, and what may be written where that is more than the brake lets through."""

    step = forms.ChoiceField(choices=[(TRY, TRY), (APPLY, APPLY)], widget=forms.HiddenInput, initial=TRY)
    tried = forms.IntegerField(required=False, widget=forms.HiddenInput)
    max_affected = forms.RegexField(
        r"^\d+(\.\d+)?\s?%?$",
        label="Open the brake",
        required=False,
        max_length=20,
        widget=forms.TextInput({"placeholder": "such as 30% or 5000"}),
        help_text="What this repair may write at most, as a share of the table or a number of rows.",
        error_messages={"invalid": "Give a share such as 30% or a number of rows such as 5000."},
    )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if cleaned.get("step") == APPLY and cleaned.get("tried") is None:
            raise forms.ValidationError("Try it first, and look at what it would write.")
        return cleaned


class AcceptForm(ReasonForm):
    """With the time at which the exception expires."""

    until = forms.DateTimeField(
        required=False,
        widget=forms.DateTimeInput({"type": "datetime-local"}),
        help_text="When it expires and counts again; empty: never.",
    )


class Deadline(Observer):
    """Ends what a request has started before the web server gives up on it: between two batches, which stay."""

    def __init__(self) -> None:
        self.ends = time.monotonic() + conf().ADMIN_SECONDS

    def advances(self, what: str, done: int = 1) -> None:
        self._look()

    def waits(self, why: str) -> None:
        if why:
            self._look(f" It waited: {why}.")

    def _look(self, why: str = "") -> None:
        if time.monotonic() >= self.ends:
            limit = lasting(conf().ADMIN_SECONDS)
            raise Cancelled(
                f"It was ended after {limit}, which is as long as the administration waits.{why} What was committed"
                " stays; the same command goes on with the rest."
            )


def is_long(seconds: float | None) -> bool:
    """Whether something that took so long is not for a request."""
    return seconds is not None and seconds > conf().ADMIN_SECONDS


def note(request: HttpRequest, on: Model | Sequence[Model], message: str) -> None:
    """Write down in Django's own log who has done what, and why."""
    for one in [on] if isinstance(on, Model) else on:
        LogEntry.objects.create(
            user_id=str(request.user.pk),
            content_type_id=ContentType.objects.get_for_model(one).pk,
            object_id=str(one.pk),
            object_repr=str(one)[:200],
            action_flag=CHANGE,
            change_message=message,
        )
