"""A provider who knows real teams, and numbers, names and orders them as it likes; what it sends is a folder."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LEAGUES = ("APTA", "CITY", "SUB")
CLUBS = ("Tennaqua", "Glenbrook", "Oak Park", "River Forest", "Sunset")
SERIES = ("Series 2", "Series 22", "Series 2B", "Series 12B", "Chicago 22")


@dataclass
class Real:
    """A team of the world, whatever it is called tonight. ``id`` is the provider's number."""

    league: str
    club: str
    series: str
    id: str
    alias: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        return self.league, self.club, self.series


class Provider:
    """Its teams, and what it does to them from one night to the next."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.numbers = 1000
        self.teams: list[Real] = []
        self.series = list(SERIES)
        self.used: set[tuple[str, str, str]] = set()
        for _ in range(20):
            self.found()

    def found(self) -> None:
        """A new team, unless another one ever had its key: by its key it would be that one."""
        key = (self.chance.choice(LEAGUES), self.chance.choice(CLUBS), self.chance.choice(self.series))
        if key not in self.used:
            self.numbers += 1
            self.used.add(key)
            self.teams.append(Real(*key, id=str(self.numbers)))

    def night(self) -> None:
        """Renumber, rename, rewrite, found, dissolve and reorder, any of them or none."""
        if self.chance.random() < 0.5:
            numbers = [team.id for team in self.teams]
            self.chance.shuffle(numbers)
            for team, number in zip(self.teams, numbers, strict=True):
                team.id = number
        for team in self.chance.sample(self.teams, 2):
            self.rename(team)
        self.chance.choice(self.teams).alias = f"alias {self.chance.randrange(9)}"
        for _ in range(2):
            self.found()
        if self.chance.random() < 0.7:
            self.teams.remove(self.chance.choice(self.teams))
        self.chance.shuffle(self.teams)

    def rename(self, team: Real) -> None:
        """A series that nobody has had yet, so that the name alone leads nobody astray."""
        self.series.append(f"Series {100 + len(self.series)}")
        team.series = self.series[-1]
        self.used.add(team.key)

    def send(self, folder: Path) -> Path:
        """The files of tonight."""
        self.write(folder, "leagues", [{"league_id": name, "name": f"{name} League"} for name in LEAGUES])
        self.write(folder, "clubs", [{"name": name} for name in CLUBS])
        self.write(folder, "series", [{"name": name} for name in self.series])
        teams = [
            {
                "league": team.league,
                "club": team.club,
                "series": team.series,
                "name": f"{team.club} {team.series}",
                "id": team.id,
                "alias": team.alias,
            }
            for team in self.teams
        ]
        self.write(folder, "teams", teams)
        return folder

    @staticmethod
    def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> None:
        (folder / f"{name}.json").write_text(json.dumps(rows))
