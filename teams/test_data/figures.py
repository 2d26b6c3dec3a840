"""The figures of the test world: pure functions of a seed. No database here."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

FIRST_ID, IDS_PER_SEED, SHIFT = 87_150, 2_000, 931
SEEDS = (1, 1_000)
ROWS = (41, 10_000_000)
MEMBERS_OF_TEAM = 4
NORTH = ("Tennaqua", "Glen View", "Hinsdale", "Lake Bluff", "Winnetka")
# One is a part of the other where words are not told apart: 2, 12, 22, 2B and 12B.
NORTHERN = ("Series 1", "Series 2", "Series 12", "Series 22", "Series 7", "Series 9", "Series 12B", "Series 2B")
SOUTH = ("Tennaqua", "Beverly")
SOUTHERN = ("Series 1", "Series 2", "Series 7", "Series 9", "Series 22")
SERIES_22, SERIES_2B = 19, 39
"""The places of the two teams that ask and tell in the story."""
PRACTISING = (SERIES_22, SERIES_2B, *range(15))
"""The places of the 17 teams that practise."""
THRICE = 7
"""Of so many practice times a backup made two more variants, of the others one."""
FIRST_DAY = datetime(2026, 9, 7, 9, tzinfo=UTC)


class BadArgument(ValueError):
    """{argument} takes {lowest} to {highest}, not {value}."""


def check(argument: str, value: int, limits: tuple[int, int]) -> None:
    """Raise BadArgument for a value outside of its limits."""
    lowest, highest = limits
    if not lowest <= value <= highest:
        raise BadArgument(f"{argument} takes {lowest:,} to {highest:,}, not {value:,}.")


def mark(seed: int) -> str:
    """What the leagues and users of one load have in common."""
    return f"test-{seed}"


def first_id(seed: int) -> int:
    """The number of the first team of a load."""
    return FIRST_ID + IDS_PER_SEED * (seed - 1)


@dataclass(frozen=True)
class TeamOf:
    """A team of the test world; `place` counts from 0 and makes its number."""

    place: int
    league: str
    club: str
    series: str

    @property
    def name(self) -> str:
        return f"{self.club} {self.series}"


def teams_of(seed: int) -> list[TeamOf]:
    """50 teams: 5 clubs with 8 series in the north, 2 clubs with 5 series in the south."""
    north = [(f"{mark(seed)}-north", club, series) for club in NORTH for series in NORTHERN]
    south = [(f"{mark(seed)}-south", club, series) for club in SOUTH for series in SOUTHERN]
    return [TeamOf(place, *names) for place, names in enumerate(north + south)]


def username(seed: int, team: int, member: int) -> str:
    """The name of a member; the first of each team is its captain."""
    return f"{mark(seed)}-{team:02d}-{'captain' if member == 0 else f'player{member}'}"


def practice(place: int) -> tuple[int, time, time, str]:
    """Day, begin, end and place of a team's practice."""
    return place % 7 + 1, time(17 + place % 4), time(18 + place % 4, 30), f"Court {place % 3 + 1}"


def match_day(number: int) -> date:
    """The day of a match: one a week."""
    return (FIRST_DAY + timedelta(weeks=number)).date()


QUESTIONS = {
    SERIES_22: ("Series 22: who can play on Friday?", ("Yes", "No", "Only late")),
    SERIES_2B: ("Who of Winnetka Series 2B joins the dinner?", ("I do", "Not this time")),
}
MESSAGES = {
    SERIES_22: (
        "Welcome to Series 22!",
        "Court 2 is under water, we meet at court 3.",
        "Bring balls, please.",
        "Hinsdale hosts all of Series 22 in October.",
        "Line-up for Friday: see the board.",
        "The first season since 2022 in which all of us are back.",
        "Practice is at 20:00, not 18:30.",
    ),
    SERIES_2B: (
        "Series 2B starts on Monday.",
        "New jerseys have arrived.",
        "Carpool from Winnetka at 17:00.",
        "Well done, 2B!",
        "We need a substitute for court 1.",
        "Nobody plays for 12B this year: we are Series 2B.",
    ),
}
