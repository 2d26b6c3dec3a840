"""Test data: a world of schools, classes, clubs, bikes and riders, and the faults to practise on.

Every figure is a function of the seed and a player's number, so that a load can be repeated anywhere. What a load has
made carries the mark `test-<seed>` in its ID tag or its name, and nothing else is read or written.
"""

from players.test_data.faults import Fault, plant_faults
from players.test_data.figures import BadArgument
from players.test_data.loading import Loaded, load

__all__ = ["BadArgument", "Fault", "Loaded", "load", "plant_faults"]
