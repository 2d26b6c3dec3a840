"""Loads the test world, or lets its bikes report to a running server. A second load changes nothing."""

from contextlib import nullcontext
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from players import test_data
from players.test_data import live

LIVE_ALONE = {"bikes": 20, "seconds": None, "pause": 1.0, "url": "http://127.0.0.1:8000", "key": None}


class Command(BaseCommand):
    """A door to `players.test_data.load` and `players.test_data.live.ride`."""

    help = "Load schools, classes, bikes and riders with a consistent history. Run twice, it changes nothing."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["epilog"] = (
            "Example: manage.py load_test_data --players 2000 --days 90 --seed 7, "
            "then manage.py load_test_data --live --bikes 30 --seconds 60. "
            "Exit codes of --live: 0 every report was taken, 2 usage error, 3 a report failed."
        )
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--players", type=int, default=500, help="how many players there are to be (%(default)s)")
        parser.add_argument("--days", type=int, default=30, help="days of history of a new player (%(default)s)")
        parser.add_argument("--seed", type=int, default=1, help="which world; several live side by side (%(default)s)")
        bikes = parser.add_argument_group("bikes that ride now")
        bikes.add_argument("--live", action="store_true", help="report to a running server until Ctrl-C; loads nothing")
        bikes.add_argument("--bikes", type=int, help=f"how many ({LIVE_ALONE['bikes']})")
        bikes.add_argument("--seconds", type=int, help="for how long (until Ctrl-C)")
        bikes.add_argument("--pause", type=float, help=f"seconds between reports ({LIVE_ALONE['pause']}); 0: no pause")
        bikes.add_argument("--url", help=f"the server ({LIVE_ALONE['url']})")
        bikes.add_argument(
            "--key", help="an API key for all bikes (one for each is made in this database, and removed)"
        )

    def handle(self, *, players: int, days: int, seed: int, verbosity: int, **options: Any) -> None:
        try:
            if options["live"]:
                self._ride(seed, verbosity, {**LIVE_ALONE, **_given(options)})
                return
            if given := _given(options):
                raise CommandError(f"--{', --'.join(given)} needs --live.", returncode=2)
            self._load(players, days, seed, verbosity)
        except test_data.BadArgument as error:
            raise CommandError(f"--{error}", returncode=2) from None

    def _load(self, players: int, days: int, seed: int, verbosity: int) -> None:
        def progress(done: int, total: int) -> None:
            if verbosity and total > done:
                self.stderr.write(f"{done:,} of {total:,} players loaded")

        loaded = test_data.load(players=players, days=days, seed=seed, progress=progress)
        if not loaded.players:
            self.stdout.write(f"Nothing to add: all {players:,} players of seed {seed} are there.")
            return
        self.stdout.write(
            f"Added {loaded.players:,} players, {loaded.groups:,} groups, {loaded.devices:,} devices and "
            f"{loaded.hours:,} hours of history, {loaded.km:,} km, in {loaded.seconds:.1f} s."
        )

    def _ride(self, seed: int, verbosity: int, asked: dict[str, Any]) -> None:
        for argument, (lowest, highest) in live.LIMITS.items():
            if asked[argument] is not None and not lowest <= asked[argument] <= highest:
                raise test_data.BadArgument(f"{argument} takes {lowest} to {highest}, not {asked[argument]}.")
        live.check_url(asked["url"])

        def progress(outcome: live.Outcome) -> None:
            if verbosity:
                self.stderr.write(f"{outcome.seconds:4.0f} s: {_figures(outcome)}")

        bikes = live.bikes_of(seed, asked["bikes"])
        one_key = {bike.device: asked["key"] for bike in bikes}
        with nullcontext(one_key) if asked["key"] else live.keys_for(bikes) as keys:
            outcome = live.ride(
                asked["url"],
                bikes,
                lambda bike: keys[bike.device],
                seconds=asked["seconds"],
                pause=asked["pause"],
                seed=seed,
                progress=progress,
            )
        self._tell(outcome)

    def _tell(self, outcome: live.Outcome) -> None:
        self.stdout.write(
            f"{_figures(outcome)}; {outcome.km:,} km in {outcome.seconds:.1f} s, {outcome.switches:,} changes of "
            f"rider, {outcome.skipped:,} not collected, {outcome.repeated:,} repeated."
        )
        if outcome.failures:
            failed = ", ".join(f"{count:,} with {status}" for status, count in outcome.failures.most_common())
            raise CommandError(f"Failed: {failed}. The first: {outcome.example}", returncode=3)
        if not outcome.reports:
            raise CommandError("No report was answered.", returncode=3)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in LIVE_ALONE if options.get(name) is not None}


def _figures(outcome: live.Outcome) -> str:
    return (
        f"{outcome.reports:,} reports, {outcome.rate:.1f} a second, answered within {outcome.milliseconds(50):.0f} ms "
        f"(p50) and {outcome.milliseconds(95):.0f} ms (p95), {outcome.failures.total():,} failed"
    )
