"""Test data: two leagues with their teams, members, polls, messages and practice times, and the faults to practise on.

Every figure is a function of the seed. What a load has made carries the mark `test-<seed>` in the name of its league or
of its user, and nothing else is read or written.
"""

from teams.test_data.faults import Duplicated, Renumbered, multiply_practice_times, plant_near_misses, renumber_teams
from teams.test_data.figures import BadArgument
from teams.test_data.loading import Loaded, load

__all__ = [
    "BadArgument",
    "Duplicated",
    "Loaded",
    "Renumbered",
    "load",
    "multiply_practice_times",
    "plant_near_misses",
    "renumber_teams",
]
