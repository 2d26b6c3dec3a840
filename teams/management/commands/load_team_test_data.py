"""Loads the leagues of the test world, and on request what went wrong with them. A second load changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from teams import test_data

WRONG = ("duplicates", "orphans", "near-misses")


class Command(BaseCommand):
    """A door to `teams.test_data`."""

    help = "Load leagues, clubs, teams, members, polls, messages and practice times. Run twice, it changes nothing."

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs["epilog"] = (
            "Example: manage.py load_team_test_data --corrupt --rows 100000, "
            "then manage.py fix_practice_times_corruption --dry-run. Exit codes: 0 done, 2 usage error."
        )
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=1, help="which world; several live side by side (%(default)s)")
        parser.add_argument(
            "--corrupt",
            nargs="*",
            choices=WRONG,
            metavar="WHAT",
            help=f"then break it: {', '.join(WRONG)}; alone it means the first two",
        )
        parser.add_argument("--rows", type=int, help="practice times that the duplicates make in all (3470114)")

    def handle(self, *, seed: int, corrupt: list[str] | None, rows: int | None, **_: Any) -> None:
        wrong = ["duplicates", "orphans"] if corrupt == [] else corrupt or []
        if rows is not None and "duplicates" not in wrong:
            raise CommandError("--rows says how many duplicates there are to be: add --corrupt.", returncode=2)
        try:
            self._load(seed)
            for what in WRONG:
                if what in wrong:
                    self._break(what, seed, {} if rows is None else {"rows": rows})
        except test_data.BadArgument as error:
            raise CommandError(f"--{error}", returncode=2) from None

    def _load(self, seed: int) -> None:
        done = test_data.load(seed=seed)
        if not done.teams:
            self.stdout.write(f"Nothing to add: the leagues of seed {seed} are there.")
            return
        self.stdout.write(
            f"Added {done.teams} teams, {done.members} members, {done.polls} polls, {done.messages} messages, "
            f"{done.matches} matches and {done.practice_times} practice times, in {done.seconds:.1f} s."
        )

    def _break(self, what: str, seed: int, rows: dict[str, int]) -> None:
        if what == "duplicates":
            table = test_data.multiply_practice_times(seed=seed, **rows)
            self.stdout.write(
                f"practice_times: {table.before:,} rows became {table.after:,}, as a backup that is restored in a loop"
                f" makes them, in {table.seconds:.1f} s."
            )
        elif what == "orphans":
            moved = test_data.renumber_teams(seed=seed)
            self.stdout.write(
                f"{moved.teams} teams have other numbers; {moved.polls} polls and {moved.messages} messages point at"
                " the old ones."
            )
        else:
            planted = test_data.plant_near_misses(seed=seed)
            self.stdout.write(f"{planted} rows point at no team that evidence leads to, or at none at all.")
