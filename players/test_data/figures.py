"""The figures of the test world: pure functions of a seed and a player's number, counted from 1. No database here."""

from collections.abc import Iterator
from decimal import Decimal
from random import Random

CLASS_SIZE = 25
CLASSES = ("1a", "1b", "2a", "2b", "3a", "3b")
SCHOOL_SIZE = CLASS_SIZE * len(CLASSES)
BIKES_PER_CLASS = 3
SCHOOLS = (
    *("Harbour", "Hillside", "Riverside", "Meadow", "Station", "Lakeside", "Orchard", "Windmill", "Bridge", "Forest"),
    *("Castle", "Garden", "Lighthouse", "Quarry", "Market", "Valley", "Canal", "Heath", "Island", "Summit"),
)
LIMITS = {"players": (1, 1_000_000), "days": (1, 3_650), "seed": (0, 2**31 - 1)}


class BadArgument(ValueError):
    """{argument} takes {lowest} to {highest}, not {value}."""


def check_arguments(**values: int) -> None:
    """Raise BadArgument for the first value outside of LIMITS."""
    for argument, value in values.items():
        lowest, highest = LIMITS[argument]
        if not lowest <= value <= highest:
            raise BadArgument(f"{argument} takes {lowest} to {highest}, not {value}.")


def mark(seed: int) -> str:
    """What the names and ID tags of one load have in common."""
    return f"test-{seed}"


def id_tag(seed: int, number: int) -> str:
    """A player's ID tag, in lower case."""
    return f"{mark(seed)}-{number:04d}"


def school_of(seed: int, number: int) -> str:
    """The name of a player's school; after the last name of the list they start again, counted."""
    round_, index = divmod((number - 1) // SCHOOL_SIZE, len(SCHOOLS))
    return f"{SCHOOLS[index]} School{f' {round_ + 1}' if round_ else ''} ({mark(seed)})"


def part_of(school: str, part: str) -> str:
    """The name of a class, a club or a bike of a school."""
    name, _, suffix = school.rpartition(" (")
    return f"{name} {part} ({suffix}"


def class_of(number: int) -> str:
    """A player's class, without its school: 25 players in a row."""
    return CLASSES[(number - 1) % SCHOOL_SIZE // CLASS_SIZE]


def is_in_club(number: int) -> bool:
    """Every eighth player rides in the school's club as well: two groups of one school."""
    return number % 8 == 0


def is_hidden(number: int) -> bool:
    """Every seventeenth player is hidden, and counted all the same."""
    return number % 17 == 0


def collects(number: int) -> bool:
    """Every twenty-ninth player has stopped collecting."""
    return number % 29 != 0


def session_bike(number: int) -> int | None:
    """The class bike that the player is riding now, 0 to 2, or None. No two players ride one bike."""
    return {4: 0, 13: 1, 22: 2}.get((number - 1) % CLASS_SIZE + 1)


def session_parts(seed: int, number: int) -> tuple[int, int]:
    """Of the ride that goes on now: what history has of the hour before, and what is in flight, in 0.00001 km.

    The first bike of each class has just set off, so that history has nothing of it.
    """
    rng = _random(f"{seed}:{number}:session")
    before, in_flight = rng.randrange(200_000, 900_000), rng.randrange(100_000, 700_000)
    return (0 if session_bike(number) == 0 else before), in_flight


def rides(seed: int, number: int, days: int) -> Iterator[tuple[int, int, int]]:
    """A player's history, newest day first, as (hours before the midnight that began today, bike, 0.00001 km).

    Rides take one to three whole hours between 7:00 and 19:00, at most one ride a day; a third hour is ridden on the
    next bike. Bikes 0 and 1 belong to the class, bike 2 to nobody. A day's figures do not depend on `days`.
    """
    random = _random(f"{seed}:{number}").random
    keenness = 0.2 + 0.45 * random()
    for day in range(1, days + 1):
        if random() > keenness:
            continue
        start, hours, bike = 7 + int(10 * random()), 1 + int(3 * random()), int(2.1 * random())
        for hour in range(hours):
            kilometres = 200_000 + int(1_600_000 * random())
            yield day * 24 - start - hour, (bike + 1) % 3 if hour == 2 else bike, kilometres


def _random(seed: str) -> Random:
    return Random(seed)  # noqa: S311  (to be repeatable is the point; nothing here is secret)


def decimal(units: int) -> Decimal:
    """Kilometres from whole units of 0.00001 km."""
    return Decimal(units).scaleb(-5)
