"""What is wrong now, the messages that a change of it made, and how each of them fares on its way."""

from __future__ import annotations

import uuid

from django.db import models
from django.db.models import Q

from integrity.alerts.conditions import Condition


class AlertState(models.Model):
    """That a condition holds for a rule, or an import, and since when; the row goes when the condition ends."""

    rule = models.CharField(max_length=200, help_text="The label of a rule or an import.")
    database = models.CharField(max_length=100)
    what = models.CharField(max_length=20, choices=[(what.value, what.value) for what in Condition])
    since = models.DateTimeField()
    run = models.ForeignKey("integrity.Run", null=True, on_delete=models.SET_NULL, help_text="The run that found it.")

    class Meta:
        ordering = ["rule", "database", "what"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["rule", "database", "what"], name="integrity_one_state_per_condition")
        ]

    def __str__(self) -> str:
        return f"{self.rule}: {self.what} since {self.since:%Y-%m-%d %H:%M}"


class Alert(models.Model):
    """One message: every change of state that a run, or a look at the clock, has found."""

    at = models.DateTimeField()
    run = models.ForeignKey("integrity.Run", null=True, on_delete=models.SET_NULL)
    events = models.JSONField(help_text="What changed, an object for each rule and condition.")

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"alert {self.pk}: {', '.join(event['rule'] for event in self.events)}"


class AlertDelivery(models.Model):
    """One message on its way through one channel."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        SENT = "sent"
        FAILED = "failed"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    uid = models.UUIDField(default=uuid.uuid4, help_text="The same at each attempt, so that a receiver knows it again.")
    channel = models.CharField(max_length=100)
    told = models.JSONField(help_text="Which of the events pass the filters of the channel, by position.")
    status = models.CharField(max_length=10, choices=Status.choices, default=Status.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    give_up_at = models.DateTimeField()
    taken_until = models.DateTimeField(
        null=True, help_text="A sender is at it; one that died is not waited for longer."
    )
    last_error = models.TextField(blank=True)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["id"]
        default_permissions = ()
        verbose_name_plural = "alert deliveries"
        indexes = [
            models.Index(fields=["channel", "id"], condition=Q(status="waiting"), name="integrity_alert_waiting"),
        ]
        constraints = [models.UniqueConstraint(fields=["alert", "channel"], name="integrity_one_delivery_per_channel")]

    def __str__(self) -> str:
        return f"alert {self.alert_id} to {self.channel}: {self.status}"
