"""Squads that a feed brings, and what people add to them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone


class Circuit(models.Model):
    """A parent that a feed brings."""

    code = models.CharField(max_length=10, unique=True)
    name = models.CharField(max_length=50, blank=True)


class Squad(models.Model):
    """Comes by a feed, without a stable number of its own; people refer to it."""

    circuit = models.ForeignKey(Circuit, models.PROTECT, related_name="squads")
    name = models.CharField(max_length=30)
    alias = models.CharField(max_length=30, blank=True)
    number = models.IntegerField(null=True, unique=True)
    founded = models.DateField(null=True)
    rating = models.DecimalField(max_digits=5, decimal_places=2, null=True)
    active = models.BooleanField(default=True)
    made_at = models.DateTimeField(auto_now_add=True)
    changed_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["circuit", "name"], name="toy_one_squad_of_a_name"),
            models.CheckConstraint(condition=Q(rating__gte=0), name="toy_no_rating_below_zero"),
        ]


class Cheer(models.Model):
    """What people give to a squad, with a foreign key."""

    squad = models.ForeignKey(Squad, models.PROTECT, related_name="cheers")
    text = models.CharField(max_length=50, default="")


class Memo(models.Model):
    """The same, with a plain number that no foreign key keeps."""

    squad_id = models.BigIntegerField(null=True)
    text = models.CharField(max_length=50, default="")


class SquadKey(models.Model):
    """Which squad a number stood for."""

    squad_id = models.BigIntegerField()
    circuit = models.CharField(max_length=10)
    name = models.CharField(max_length=30)
    since = models.DateTimeField(default=timezone.now)
