"""Teams that an import deletes and brings again under other ids, and what its users add to them."""

from __future__ import annotations

from django.db import models


class League(models.Model):
    code = models.CharField(max_length=20, unique=True)


class Town(models.Model):
    name = models.CharField(max_length=50)


class Series(models.Model):
    name = models.CharField(max_length=50)


class Team(models.Model):
    """What an import deletes and brings again under another id."""

    town = models.ForeignKey(Town, models.CASCADE)
    series = models.ForeignKey(Series, models.CASCADE)
    league = models.ForeignKey(League, models.CASCADE)
    level = models.IntegerField(default=0)


class TeamKey(models.Model):
    """What the import keeps: the natural key that an id had."""

    team_id = models.BigIntegerField()
    town = models.CharField(max_length=50, null=True)  # noqa: DJ001 - what the engine may meet
    series = models.CharField(max_length=50)
    league = models.CharField(max_length=20)
    town_id = models.BigIntegerField(null=True)
    series_row = models.ForeignKey(Series, models.CASCADE, null=True)


class Membership(models.Model):
    person = models.ForeignKey("toy.Person", models.CASCADE)
    team = models.ForeignKey(Team, models.CASCADE, db_constraint=False)
    is_primary = models.BooleanField(default=False)


class Poll(models.Model):
    """Refers without a constraint in the database."""

    team = models.ForeignKey(Team, models.DO_NOTHING, null=True, db_constraint=False, related_name="polls")
    author = models.ForeignKey("toy.Person", models.CASCADE, null=True)
    question = models.TextField(default="")


class Message(models.Model):
    """Refers by a plain number that is narrower than what it refers to."""

    team_id = models.IntegerField(null=True)
    captain = models.ForeignKey("toy.Person", models.CASCADE, null=True)
    text = models.TextField(null=True)  # noqa: DJ001 - what the engine may meet


class Practice(models.Model):
    """Knows its league, which its team has too."""

    team_id = models.BigIntegerField(null=True)
    league = models.ForeignKey(League, models.CASCADE)
    captain = models.ForeignKey("toy.Person", models.CASCADE, null=True)
