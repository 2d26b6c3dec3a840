"""Crews that were entered twice, and every way in which something may refer to one."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.fields import GenericRelation
from django.db import models
from django.db.models import Q

from tests.toy.models import Club, Tag


class Crew(models.Model):
    name = models.CharField(max_length=20)
    alias = models.CharField(max_length=20, default="")
    external_id = models.IntegerField(null=True, unique=True)
    since = models.DateField(null=True)
    wins = models.IntegerField(default=0)
    code = models.CharField(max_length=20, unique=True, null=True)  # noqa: DJ001  (several crews may have none)
    parent = models.ForeignKey("self", models.SET_NULL, null=True, related_name="parts")
    clubs: models.ManyToManyField[Any, Any] = models.ManyToManyField(Club, related_name="crews")
    sailors: models.ManyToManyField[Any, Any] = models.ManyToManyField("Sailor", through="Berth", related_name="crews")
    tags = GenericRelation(Tag)


class Sailor(models.Model):
    name = models.CharField(max_length=20, default="")


class Berth(models.Model):
    """A sailor has one with each crew, and one main berth in all; no cabin is given twice in a crew."""

    crew = models.ForeignKey(Crew, models.CASCADE, related_name="berths")
    sailor = models.ForeignKey(Sailor, models.CASCADE, related_name="berths")
    is_main = models.BooleanField(default=False)
    cabin = models.IntegerField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["crew", "sailor"], name="toy_one_berth_of_a_crew"),
            models.UniqueConstraint(fields=["crew", "cabin"], name="toy_one_berth_of_a_cabin"),
            models.UniqueConstraint(fields=["crew"], condition=Q(is_main=True), name="toy_one_main_berth"),
        ]


class Meal(models.Model):
    """Refers to a berth, and so to a repetition where one goes."""

    berth = models.ForeignKey(Berth, models.CASCADE, related_name="meals")


class Boat(models.Model):
    """A crew has one at most."""

    crew = models.OneToOneField(Crew, models.PROTECT, related_name="boat")
    name = models.CharField(max_length=20, default="")


class Race(models.Model):
    """Refers to two crews."""

    home = models.ForeignKey(Crew, models.PROTECT, related_name="home_races")
    away = models.ForeignKey(Crew, models.PROTECT, related_name="away_races")


class Sighting(models.Model):
    """Refers to a crew in a way that the database does not know of."""

    crew = models.ForeignKey(Crew, models.DO_NOTHING, db_constraint=False, related_name="sightings")


class Rumour(models.Model):
    """Refers to a crew by a plain number, of which only a rule tells."""

    crew_number = models.IntegerField(null=True)
    kind = models.CharField(max_length=10, default="crew")


class Signal(models.Model):
    """Refers to a crew by its code."""

    crew = models.ForeignKey(Crew, models.CASCADE, to_field="code", related_name="signals")


class Captaincy(models.Model):
    """Has the key of the crew itself."""

    crew = models.OneToOneField(Crew, models.CASCADE, primary_key=True, related_name="captaincy")


class Payment(models.Model):
    """The sum of the payments is a total of the crew's."""

    crew = models.ForeignKey(Crew, models.PROTECT, related_name="payments")
    amount = models.IntegerField()
