"""How long the engine takes for a job, as a multiple of the best SQL written by hand for it, in the same rounds.

Works in a database of its own, which is dropped at the end. Nothing is asserted about time: read the table.
"""

from __future__ import annotations

import argparse
import os
from fractions import Fraction
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.benchmarks.measure import Figures, Job

EXAMPLE = """examples:
  make bench                                      every job at a quarter and at full size
  make bench ARGS="trim key --rounds 9"           some jobs, more rounds
  python -m tests.benchmarks trim --scale 1/10    one job at another size
  python -m tests.benchmarks changed --scale 10 --hours 50    10,000,000 hours of 200,000 players
  EMBEDDED_PG_BIN=/usr/lib/postgresql/15/bin make bench    on another PostgreSQL
"""
HEADER = ("job", "best SQL s", "engine s", "ratio", "(lowest-highest)", "goal", "met", "peak MB")
ROW = "{:<56} {:>10} {:>9} {:>6} {:>16} {:>5} {:>4} {:>8}"


def main() -> None:
    """Measure what the command line asks for."""
    arguments = _arguments()
    from tests.benchmarks.imported import IMPORTED
    from tests.benchmarks.jobs import JOBS
    from tests.benchmarks.kept import KEPT
    from tests.benchmarks.measure import measure
    from tests.benchmarks.noted import NOTED
    from tests.benchmarks.orphans import ORPHANS
    from tests.benchmarks.relinked import RELINKED
    from tests.benchmarks.repetitions import REPETITIONS, load_repetitions
    from tests.benchmarks.shared import SHARED
    from tests.benchmarks.twins import TWINS, load_twins
    from tests.benchmarks.world import World, database, version

    known = [*JOBS, *IMPORTED, *KEPT, *NOTED, *ORPHANS, *RELINKED, *REPETITIONS, *SHARED, *TWINS]
    chosen = [job() for job in known if not arguments.jobs or job.name in arguments.jobs]
    for scale in arguments.scale:
        world = World(scale, arguments.hours)
        print(f"\n{world}: loading", flush=True)
        needs = {job.needs for job in chosen}
        with database(world, needs):
            if "repetitions" in needs:
                load_repetitions(world)
            if "twins" in needs:
                load_twins(world)
            print(f"PostgreSQL {version()}, {arguments.rounds} rounds, ratio: median, (lowest-highest)")
            print(ROW.format(*HEADER))
            for job in chosen:
                print(_row(job, measure(job, arguments.rounds)), flush=True)


def _row(job: Job, figures: Figures) -> str:
    goal = job.promised()
    met = "" if goal is None else "yes" if figures.ratio <= goal else "NO"
    return ROW.format(
        f"{job.name}: {job.what}",
        _seconds(min(figures.hand)),
        _seconds(min(figures.engine)),
        f"{figures.ratio:.2f}",
        f"({figures.ratios[0]:.2f}-{figures.ratios[-1]:.2f})",
        "" if goal is None else f"{goal:g}",
        met,
        figures.megabytes or "",
    )


def _seconds(seconds: float) -> str:
    return f"{seconds:.3f}" if seconds >= 0.1 else f"{seconds:.4f}"


def _arguments() -> argparse.Namespace:
    from tests.benchmarks.imported import IMPORTED
    from tests.benchmarks.jobs import JOBS
    from tests.benchmarks.kept import KEPT
    from tests.benchmarks.noted import NOTED
    from tests.benchmarks.orphans import ORPHANS
    from tests.benchmarks.relinked import RELINKED
    from tests.benchmarks.repetitions import REPETITIONS
    from tests.benchmarks.shared import SHARED
    from tests.benchmarks.twins import TWINS

    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [job.name for job in (*JOBS, *IMPORTED, *KEPT, *NOTED, *ORPHANS, *RELINKED, *REPETITIONS, *SHARED, *TWINS)]
    parser.add_argument("jobs", nargs="*", metavar="JOB", help=f"all unless named: {', '.join(names)}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side works (5)")
    parser.add_argument(
        "--scale",
        type=Fraction,
        action="append",
        help="size as a fraction of 5,000,000 hours; may be repeated (1/4 and 1)",
    )
    parser.add_argument("--hours", type=int, default=250, help="how many hours a player has (250)")
    arguments = parser.parse_args()
    if unknown := set(arguments.jobs) - set(names):
        parser.error(f"unknown job {', '.join(sorted(unknown))}; known: {', '.join(names)}")
    arguments.scale = arguments.scale or [Fraction(1, 4), Fraction(1)]
    return arguments


if __name__ == "__main__":
    from config import embedded_postgres

    embedded_postgres.provide()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    import django

    django.setup()
    main()
