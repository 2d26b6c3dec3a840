"""Riders, the groups and devices they belong to, and the kilometres they ride.

`Player.distance_total` is the master. `HourlyMetric` is its history, `OpenSession` the part that is on its way into
history, `Group.distance_total` a sum over the players below a group. All distances are kilometres with five places.
Foreign keys into history are PROTECT throughout: deleting a device, a group or a player never takes kilometres along.
"""

from decimal import Decimal
from typing import Any

from django.contrib.postgres.indexes import BrinIndex
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Lower, Mod
from django.db.models.lookups import Exact

from players.triggers import group_tree_has_no_cycle

MAX_KM = Decimal("9999999999.99999")
SECONDS_SINCE_EPOCH = Func(
    F("hour"), template="EXTRACT(EPOCH FROM %(expressions)s)", output_field=models.DecimalField()
)


def kilometres(help_text: str, **options: Any) -> "models.DecimalField[Any, Any]":
    """A distance column: Decimal(15, 5), kilometres. Pair it with `distance_is_valid`."""
    return models.DecimalField(max_digits=15, decimal_places=5, help_text=help_text, **options)


def distance_is_valid(field: str, name: str) -> models.CheckConstraint:
    """CHECK that `field` lies between 0 and MAX_KM.

    The upper bound keeps NaN out: PostgreSQL sorts NaN above every number, so `NaN >= 0` alone is true.
    """
    return models.CheckConstraint(
        condition=Q(**{f"{field}__gte": 0, f"{field}__lte": MAX_KM}),
        name=name,
        violation_error_message=f"Enter a distance between 0 and {MAX_KM} km in {field}.",
    )


class Group(models.Model):
    """A class, a club or the school that holds them: a node of the tree that leaderboards and reports are cut by."""

    class Kind(models.TextChoices):
        SCHOOL = "school"
        CLASS = "class"
        CLUB = "club"

    name = models.CharField(max_length=200, unique=True)
    kind = models.CharField(max_length=20, choices=Kind, default=Kind.CLASS)
    parent = models.ForeignKey(
        "self",
        models.PROTECT,
        null=True,
        blank=True,
        related_name="children",
        help_text="The group that this one is part of. A group cannot be its own ancestor.",
    )
    distance_total = kilometres(
        "Derived: the sum over the distinct players of this group and all groups below it, in km.", default=Decimal(0)
    )
    is_visible = models.BooleanField(default=True, help_text="Shown on leaderboards. Hidden groups are still counted.")

    class Meta:
        constraints = [distance_is_valid("distance_total", "group_distance_is_valid")]
        triggers = [group_tree_has_no_cycle]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Refuse a parent inside this group's own subtree; the trigger refuses it again when the move commits."""
        super().clean()
        seen: set[int] = set()
        ancestor = self.parent
        while ancestor is not None and ancestor.pk not in seen:
            if ancestor.pk == self.pk:
                raise ValidationError(
                    {"parent": f'Group "{self}" cannot be its own ancestor: choose a parent outside of its subtree.'}
                )
            seen.add(ancestor.pk)
            ancestor = ancestor.parent


class Player(models.Model):
    """Somebody who rides, recognised by a tag."""

    name = models.CharField(max_length=200)
    id_tag = models.CharField(
        "ID tag", max_length=100, help_text="What the device reads. Upper and lower case are one."
    )
    groups = models.ManyToManyField(Group, through="Membership", related_name="players", blank=True)
    distance_total = kilometres(
        "The master: everything this player has ridden, in km. History and open session add up to it.",
        default=Decimal(0),
    )
    is_visible = models.BooleanField(default=True, help_text="Shown on leaderboards. Hidden players are still counted.")
    collects = models.BooleanField(default=True, help_text="New distance is accepted for this player.")
    last_active = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("id_tag"),
                name="player_id_tag_is_unique",
                violation_error_message="Another player has this ID tag (upper and lower case are one).",
            ),
            distance_is_valid("distance_total", "player_distance_is_valid"),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.id_tag})"


class Membership(models.Model):
    """A player in a group.

    It says where a player is now and holds no kilometres of its own, so it goes when a player without history is
    deleted. A group with players is kept: its ancestors would silently lose their distance.
    """

    player = models.ForeignKey(Player, models.CASCADE, related_name="memberships", db_index=False)
    group = models.ForeignKey(Group, models.PROTECT, related_name="memberships")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["player", "group"],
                name="membership_is_unique",
                violation_error_message="The player is already in this group.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.player} in {self.group}"


class Device(models.Model):
    """A counter box on a bike."""

    name = models.CharField(max_length=200, help_text="Upper and lower case are one.")
    group = models.ForeignKey(
        Group,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="devices",
        help_text="Where the bike stands. Its rides count for this group in reports over time.",
    )
    collects = models.BooleanField(default=True, help_text="New distance is accepted from this device.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                Lower("name"),
                name="device_name_is_unique",
                violation_error_message="Another device has this name (upper and lower case are one).",
            )
        ]

    def __str__(self) -> str:
        return self.name


class HourlyMetric(models.Model):
    """What one player rode on one device in one hour: the history of the master.

    The unique key starts with player and hour, so that it also serves a player's history in order of time, and holds
    the distance, so that what a player has ridden is summed up from the index alone.
    """

    player = models.ForeignKey(Player, models.PROTECT, related_name="hourly_metrics", db_index=False)
    device = models.ForeignKey(
        Device,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="hourly_metrics",
        db_index=False,
        help_text="Empty only for an adjustment, which no device reported.",
    )
    hour = models.DateTimeField(help_text="The full hour (UTC) in which the distance was ridden.")
    distance_km = kilometres("Ridden in this hour, in km.")
    group_at_time = models.ForeignKey(
        Group,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="hourly_metrics",
        db_index=False,
        help_text="The device's group at that time, else the player's lowest leaf group.",
    )
    is_adjustment = models.BooleanField(default=False, help_text="Written by a repair, not by a ride.")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["player", "hour", "device", "is_adjustment"],
                include=["distance_km"],
                name="hourly_metric_occurs_once",
                nulls_distinct=False,
                violation_error_message="History has this player, device and hour already: add to that row.",
            ),
            distance_is_valid("distance_km", "hourly_metric_distance_is_valid"),
            models.CheckConstraint(
                # Seconds since the epoch: the hour of the UTC clock, whatever the session's time zone.
                condition=Exact(Mod(SECONDS_SINCE_EPOCH, 3600), 0),
                name="hourly_metric_is_on_the_hour",
                violation_error_message="Enter a full hour (UTC).",
            ),
            models.CheckConstraint(
                condition=Q(is_adjustment=True) | Q(device__isnull=False),
                name="hourly_metric_has_a_device",
                violation_error_message="Choose the device that reported this distance; only an adjustment has none.",
            ),
        ]
        indexes = [
            # Who was on this bike then: device switches, and refusing to delete a device with history.
            models.Index(fields=["device", "hour"], name="hourly_metric_device_hour"),
            # A group's report over time.
            models.Index(fields=["group_at_time", "hour"], name="hourly_metric_group_hour"),
            # A report over all groups: history is written in order of time, which a BRIN follows at almost no cost.
            BrinIndex(fields=["hour"], name="hourly_metric_hour_brin", autosummarize=True),
        ]

    def __str__(self) -> str:
        return f"{self.distance_km} km by player {self.player_id} at {self.hour:%Y-%m-%d %H:00}"


class OpenSession(models.Model):
    """A ride that is still going on. What is not flushed yet (`distance_km - flushed_km`) is in flight."""

    player = models.OneToOneField(Player, models.PROTECT, related_name="open_session")
    device = models.ForeignKey(Device, models.PROTECT, related_name="open_sessions")
    started_at = models.DateTimeField()
    last_activity = models.DateTimeField(db_index=True)
    distance_km = kilometres("Ridden since the start, in km.", default=Decimal(0))
    flushed_km = kilometres("The part of it that history has already.", default=Decimal(0))

    class Meta:
        constraints = [
            distance_is_valid("distance_km", "open_session_distance_is_valid"),
            models.CheckConstraint(
                condition=Q(flushed_km__gte=0, flushed_km__lte=F("distance_km")),
                name="open_session_flushed_is_part",
                violation_error_message="What is flushed lies between 0 and the distance of the session.",
            ),
            models.CheckConstraint(
                condition=Q(last_activity__gte=F("started_at")),
                name="open_session_starts_before_activity",
                violation_error_message="The last activity cannot be earlier than the start.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.distance_km} km by player {self.player_id} since {self.started_at:%Y-%m-%d %H:%M}"


class IdempotencyKey(models.Model):
    """The first answer to a request, kept for 24 hours so that a retry gets it again and moves nothing.

    It is no history: it goes with its device. Devices choose their keys alone, so a key is one only within a device.
    """

    key = models.CharField(max_length=200)
    device = models.ForeignKey(Device, models.CASCADE, related_name="idempotency_keys", db_index=False)
    body_hash = models.CharField(max_length=64, help_text="SHA-256 of the request, in hex: another body is a conflict.")
    answer = models.JSONField()
    at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["device", "key"],
                name="idempotency_key_is_unique",
                violation_error_message="The device has used this key already.",
            )
        ]

    def __str__(self) -> str:
        return self.key


class ApiKey(models.Model):
    """What opens the API: for one device, or for all of them. Made and revoked by `players.keys`.

    The key is random and long, so a fast hash keeps it as well as a slow one would; its first part finds the row.
    """

    name = models.CharField(max_length=200, help_text="Where the key is kept.")
    prefix = models.CharField(max_length=16, unique=True, editable=False, help_text="How the key begins.")
    hash = models.CharField(
        max_length=64,
        editable=False,
        help_text="SHA-256 of the key, in hex. The key itself is shown once and stored nowhere.",
    )
    device = models.ForeignKey(
        Device,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="api_keys",
        help_text="The device that it serves. Empty: a global key, which serves all.",
    )
    created_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True, help_text="To the minute.")

    class Meta:
        verbose_name = "API key"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}...)"


class RateLimit(models.Model):
    """How much of its limit a key or an address has used. Written by `players.limits`; the table is not logged."""

    subject = models.CharField(max_length=80, primary_key=True, help_text="key:PREFIX or address:NETWORK")
    spent_until = models.DateTimeField(help_text="Every request moves it on; until then they add up.")

    def __str__(self) -> str:
        return self.subject


class MasterCorrection(models.Model):
    """A master that was put right by hand: by whom, why, and from what to what. Written by `players.corrections`."""

    player = models.ForeignKey(Player, models.PROTECT, related_name="corrections")
    before_km = kilometres("The master until then, in km.")
    after_km = kilometres("The master from then on, in km.")
    reason = models.TextField()
    actor = models.CharField(max_length=200)
    at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(condition=~Q(reason=""), name="master_correction_has_a_reason"),
            models.CheckConstraint(condition=~Q(actor=""), name="master_correction_has_an_actor"),
            distance_is_valid("before_km", "master_correction_before_is_valid"),
            distance_is_valid("after_km", "master_correction_after_is_valid"),
        ]

    def __str__(self) -> str:
        return f"player {self.player_id} from {self.before_km} to {self.after_km} km"
