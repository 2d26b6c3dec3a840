"""How often Relink is right: leagues of which the truth is known, each repaired and compared with it.

precision: the share of the rows that were relinked that lead where they should. recall: the share of the rows whose
team is still there that lead there again; the rest is left and reported.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from fractions import Fraction

HEADER = ("league", "precision", "recall", "relinked", "wrong", "left", "s", "outcomes")
ROW = "{:<36} {:>9} {:>7} {:>9} {:>6} {:>7} {:>6}  {}"


def main() -> None:
    """Measure every league, with steps that decide alone and with texts and authors that only confirm each other."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.accuracy", description=__doc__)
    parser.add_argument("--times", type=int, default=1, help="how many times as large a league is (1)")
    parser.add_argument("--seed", default="1", help="another seed draws other leagues (1)")
    arguments = parser.parse_args()

    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    from config import embedded_postgres

    embedded_postgres.provide()
    django.setup()
    from tests.benchmarks.league import LEAGUES, make
    from tests.benchmarks.world import World, database

    with database(World(Fraction(1)), set()):
        for cautious in (False, True):
            print("\nTexts and authors decide " + ("only together:" if cautious else "alone:"), flush=True)
            print(ROW.format(*HEADER))
            for league in LEAGUES:
                sizes = {part: getattr(league, part) * arguments.times for part in _SIZES}
                make(replace(league, seed=arguments.seed, **sizes))
                print(_row(league.name, cautious=cautious), flush=True)


_SIZES = ("teams", "dangling", "polls", "messages")


def _row(league: str, *, cautious: bool) -> str:
    from tests.benchmarks.league import right_and_wrong
    from tests.benchmarks.relinking import relink

    started = time.perf_counter()
    outcomes = relink(alone=not cautious)
    seconds = time.perf_counter() - started
    right, wrong, left, vanished = right_and_wrong()
    total = right + wrong + left - vanished
    told = ", ".join(f"{outcome} {count:,}" for outcome, count in sorted(outcomes.items()))
    return ROW.format(
        league,
        f"{right / max(right + wrong, 1):.4f}",
        f"{right / max(total, 1):.3f}",
        f"{right + wrong:,}",
        wrong,
        f"{left:,}",
        f"{seconds:.1f}",
        told,
    )


if __name__ == "__main__":
    main()
