"""A league site: what a nightly import brings, and what the members of its teams add.

Leagues, clubs, series, teams and matches come from a provider, who knows no number of ours: their natural keys are what
lasts. Polls, messages and practice times are the members'. They point at teams by the number, without a constraint in
the database, because the import may replace a team: then the number leads nowhere, and the row stays. So a team that is
pointed at is read by `prefetch_related`: a join would leave out the rows whose team is gone.
"""

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now
from django.utils import timezone


def team_reference(related_name: str, **options: Any) -> "models.ForeignKey[Any, Any]":
    """A team by its number, which may lead nowhere: no constraint, and nothing goes along with the team."""
    return models.ForeignKey("teams.Team", models.DO_NOTHING, db_constraint=False, related_name=related_name, **options)


def made_at() -> "models.DateTimeField[Any, Any]":
    """When a row was made, by whatever writer."""
    return models.DateTimeField(default=timezone.now, db_default=Now(), editable=False)


class OfTeam:
    """A row that points at one team, which may be gone."""

    team_id: int | None

    @property
    def team_there(self) -> "Team | None":
        """The team, or None where there is none or the number leads nowhere."""
        try:
            found: Team | None = self.team  # type: ignore[attr-defined]
        except Team.DoesNotExist:
            return None
        return found

    @property
    def is_orphan(self) -> bool:
        """Whether the number leads nowhere."""
        return self.team_id is not None and self.team_there is None


class League(models.Model):
    """A league of the provider; `league_id` is the provider's own name for it, and lasts."""

    league_id = models.CharField(
        max_length=100, unique=True, help_text="The provider's name for it, such as APTA_NORTH."
    )
    name = models.CharField(max_length=200)

    def __str__(self) -> str:
        return self.name


class Club(models.Model):
    """Where teams play and practise."""

    name = models.CharField(max_length=200, unique=True)

    def __str__(self) -> str:
        return self.name


class Series(models.Model):
    """A level of play, such as Series 22 or Series 2B."""

    name = models.CharField(max_length=100, unique=True)

    class Meta:
        verbose_name_plural = "series"

    def __str__(self) -> str:
        return self.name


class Team(models.Model):
    """A club's team of a series in a league: these three are what it is, whatever number it has today."""

    club = models.ForeignKey(Club, models.PROTECT, related_name="teams")
    series = models.ForeignKey(Series, models.PROTECT, related_name="teams")
    league = models.ForeignKey(League, models.PROTECT, related_name="teams")
    name = models.CharField(max_length=200)
    alias = models.CharField(
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="What people call it; others may be called so too.",
    )
    is_active = models.BooleanField(
        default=True, db_default=True, help_text="False once the provider knows it no more."
    )
    external_id = models.CharField(
        max_length=100,
        blank=True,
        default="",
        db_default="",
        help_text="The provider's own number of it, if it has one.",
    )
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, through="TeamMembership", related_name="teams")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["club", "series", "league"],
                name="unique_team_club_series_league",
                violation_error_message="This club has a team of this series in this league already.",
            ),
            models.UniqueConstraint(
                fields=["league", "external_id"],
                condition=~Q(external_id=""),
                name="unique_team_external_id",
                violation_error_message="Another team of this league has this number of the provider.",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class TeamKey(models.Model):
    """Which team a number stood for: its natural key in words, which a later import does not change."""

    team_id = models.BigIntegerField()
    league = models.CharField(max_length=100, help_text="The provider's name of the league.")
    club = models.CharField(max_length=200)
    series = models.CharField(max_length=100)
    since = made_at()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["team_id", "league", "club", "series"], name="unique_team_key")]

    def __str__(self) -> str:
        return f"{self.team_id}: {self.club} {self.series} in {self.league}"


class TeamMembership(models.Model):
    """That somebody plays for a team. The import keeps it: it follows the team."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="team_memberships")
    team = models.ForeignKey(Team, models.PROTECT, related_name="memberships")
    is_primary = models.BooleanField(
        default=False, db_default=False, help_text="The team that this member means first."
    )
    is_captain = models.BooleanField(
        default=False, db_default=False, help_text="May write to the whole team and set its practice times."
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "team"], name="unique_member_of_team")]

    def __str__(self) -> str:
        return f"member {self.user_id} of team {self.team_id}"


class Poll(OfTeam, models.Model):
    """A question to a team."""

    team = team_reference("polls", null=True, blank=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="polls")
    question = models.CharField(max_length=500)
    created_at = made_at()
    closed_at = models.DateTimeField(null=True, blank=True, help_text="From then on nobody votes.")

    def __str__(self) -> str:
        return self.question


class PollChoice(models.Model):
    """One answer to choose."""

    poll = models.ForeignKey(Poll, models.CASCADE, related_name="choices", db_index=False)
    text = models.CharField(max_length=200)
    position = models.PositiveSmallIntegerField(default=0, db_default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["poll", "text"], name="unique_choice_of_poll")]

    def __str__(self) -> str:
        return self.text


class PollResponse(models.Model):
    """What a member chose; one answer to a poll each."""

    poll = models.ForeignKey(Poll, models.CASCADE, related_name="responses", db_index=False)
    choice = models.ForeignKey(PollChoice, models.CASCADE, related_name="responses")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="poll_responses")
    created_at = made_at()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["poll", "user"], name="unique_response_to_poll")]

    def __str__(self) -> str:
        return f"response of member {self.user_id} to poll {self.poll_id}"


class CaptainMessage(OfTeam, models.Model):
    """What a captain told the team. It is never without one."""

    team = team_reference("messages")
    captain = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="captain_messages")
    message = models.TextField()
    created_at = made_at()

    def __str__(self) -> str:
        return self.message if len(self.message) <= 80 else f"{self.message[:77]}..."


class Match(models.Model):
    """A line of the schedule. The texts are the provider's; a team that they do not lead to is not known yet."""

    league = models.ForeignKey(League, models.PROTECT, related_name="matches")
    date = models.DateField()
    time = models.TimeField(null=True, blank=True)
    home_team = team_reference("home_matches", null=True, blank=True)
    away_team = team_reference("away_matches", null=True, blank=True)
    home_text = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="As the provider names it."
    )
    away_text = models.CharField(
        max_length=200, blank=True, default="", db_default="", help_text="As the provider names it."
    )
    location = models.CharField(max_length=200, blank=True, default="", db_default="")
    is_scheduled = models.BooleanField(
        default=True, db_default=True, help_text="False once the provider lists it no more."
    )

    class Meta:
        db_table = "schedule"
        verbose_name_plural = "matches"
        constraints = [
            models.UniqueConstraint(
                fields=["league", "date", "home_text", "away_text"],
                name="unique_match_of_a_day",
                violation_error_message="These two are on the schedule of this day already.",
            )
        ]

    def __str__(self) -> str:
        return f"{self.home_text} - {self.away_text} on {self.date}"


class PracticeTime(OfTeam, models.Model):
    """When and where a team practises, every week."""

    class Day(models.IntegerChoices):
        MONDAY = 1
        TUESDAY = 2
        WEDNESDAY = 3
        THURSDAY = 4
        FRIDAY = 5
        SATURDAY = 6
        SUNDAY = 7

    team = team_reference("practice_times", null=True, blank=True, db_index=False)
    day_of_week = models.PositiveSmallIntegerField(choices=Day)
    start_time = models.TimeField()
    end_time = models.TimeField(null=True, blank=True)
    location = models.CharField(max_length=200, blank=True, default="", db_default="")
    league = models.ForeignKey(League, models.PROTECT, db_index=False, related_name="practice_times")
    created_at = made_at()

    class Meta:
        db_table = "practice_times"
        constraints = [
            models.CheckConstraint(
                condition=Q(day_of_week__gte=1, day_of_week__lte=7),
                name="practice_day_is_a_weekday",
                violation_error_message="Enter a day from 1, Monday, to 7, Sunday.",
            ),
            models.CheckConstraint(
                condition=Q(end_time__isnull=True) | Q(end_time__gt=F("start_time")),
                name="practice_ends_after_it_begins",
                violation_error_message="Enter an end after the start.",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_day_of_week_display()} {self.start_time:%H:%M}"
