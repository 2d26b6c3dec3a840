"""Loads the test world. A second run with the same arguments changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from players import test_data


class Command(BaseCommand):
    """A door to `players.test_data.load`."""

    help = "Load schools, classes, bikes and riders with a consistent history. Run twice, it changes nothing."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["epilog"] = "Example: manage.py load_test_data --players 2000 --days 90 --seed 7"
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--players", type=int, default=500, help="how many players there are to be (%(default)s)")
        parser.add_argument("--days", type=int, default=30, help="days of history of a new player (%(default)s)")
        parser.add_argument("--seed", type=int, default=1, help="which world; several live side by side (%(default)s)")

    def handle(self, *, players: int, days: int, seed: int, verbosity: int, **options: Any) -> None:
        def progress(done: int, total: int) -> None:
            if verbosity and total > done:
                self.stderr.write(f"{done:,} of {total:,} players loaded")

        try:
            loaded = test_data.load(players=players, days=days, seed=seed, progress=progress)
        except test_data.BadArgument as error:
            raise CommandError(f"--{error}", returncode=2) from None
        if not loaded.players:
            self.stdout.write(f"Nothing to add: all {players:,} players of seed {seed} are there.")
            return
        self.stdout.write(
            f"Added {loaded.players:,} players, {loaded.groups:,} groups, {loaded.devices:,} devices and "
            f"{loaded.hours:,} hours of history, {loaded.km:,} km, in {loaded.seconds:.1f} s."
        )
