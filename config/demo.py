"""make demo: breaks a small data set on purpose, then finds, repairs, verifies and takes back, with the real commands.

The story has a database of its own on the server that DATABASE_URL names, or on the embedded one. It is made anew each
time, so that the story is always the same, and stays afterwards, to go on in. No other database is read or written.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn
from urllib.parse import urlsplit

from config import command_line, database_url, embedded_postgres

DATABASE = "holdtrue_demo"
OURS = "The demo of Holdtrue made this database and drops it when it starts again."
SERVER = "server"
WIDTH = "120"
"""Columns where nobody looks, as in a pipe or a log."""
FAULTS = {
    "duplicated": "an hour is written twice, on two bikes",
    "double_counted": "a running ride is written whole, though a part of it was written before",
    "lost": "an hour of a ride is gone",
    "wrong_totals": "a class has a wrong total",
    "counted_twice": "a school counts somebody twice who is in two of its groups",
}
ANALYZE = "analyze_mileage_consistency"
MILEAGE = "vehicles.current_mileage"
PRACTICE = "fix_practice_times_corruption --max-affected 100%"
LONG_AGO = datetime(2025, 11, 1, 12, tzinfo=UTC)
"""The same each time, because it is shown."""
ROWS, ALL_ROWS = 20_000, 3_470_114
"""Practice times that a backup loop makes: enough to see it, and as many as there were (`make demo-full`)."""
FIX = f"{ANALYZE} --fix --strategy recalculate_from_player"


def main() -> None:
    """Prepare the database and tell the story; exit code 0 only if it went as told."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if not sys.stdout.isatty():
        os.environ.setdefault("COLUMNS", WIDTH)
    where = "the server of DATABASE_URL" if os.environ.get("DATABASE_URL") else "the embedded PostgreSQL"
    with command_line.plain_errors():
        embedded_postgres.provide()
        use_own_database()
        import django
        from django.db import connections

        django.setup()
        with closing(connections[SERVER]) as server:
            make_database(server)
            Story(where, ALL_ROWS if "--full" in sys.argv[1:] else ROWS).tell()


# A database of its own


def use_own_database() -> None:
    """Point Django at the demo's database, and an alias for administration at the one that DATABASE_URL names."""
    from django.conf import settings

    named = settings.DATABASES["default"]
    # Whoever goes on in the demo's database and starts the demo again has named the one that must be dropped.
    beside = "postgres" if named["NAME"] == DATABASE else named["NAME"]
    settings.DATABASES = {"default": {**named, "NAME": DATABASE}, SERVER: {**named, "NAME": beside}}


def make_database(server: Any) -> None:
    """Drop what an earlier demo left, and create the database. Ends the process where that is not possible."""
    from django.db import ProgrammingError

    with server.cursor() as cursor:
        # Held until the demo ends: two at a time would drop each other's database.
        cursor.execute("SELECT pg_try_advisory_lock(hashtextextended(%s, 0))", [DATABASE])
        if not cursor.fetchone()[0]:
            stop(f"Another demo is at work in the database {DATABASE}. Wait for it.")
        cursor.execute("SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = %s", [DATABASE])
        found = cursor.fetchone()
        if found and found[0] != OURS:
            stop(
                f"The demo did not make the database {DATABASE} and leaves it alone: rename it, or use another server."
            )
        try:
            cursor.execute(f"DROP DATABASE IF EXISTS {DATABASE} WITH (FORCE)")
            cursor.execute(f"CREATE DATABASE {DATABASE}")
            cursor.execute(f"COMMENT ON DATABASE {DATABASE} IS '{OURS}'")
        except ProgrammingError as error:
            why = str(error).strip().splitlines()[0]
            stop(
                f"The demo makes a database of its own, {DATABASE}, and may not ({why}): let this user create"
                " databases, or unset DATABASE_URL to use the embedded PostgreSQL."
            )


def stop(why: str) -> NoReturn:
    """End with one sentence and the exit code of what was not finished."""
    sys.stdout.flush()
    print(why, file=sys.stderr)
    sys.exit(command_line.NOT_FINISHED)


def fingerprint() -> str:
    """All rows of all tables but the engine's own, as one number."""
    from django.db import connection

    digest = hashlib.sha256()
    with connection.cursor() as cursor:
        for table in sorted(connection.introspection.table_names(cursor)):
            if not table.startswith("integrity_"):
                cursor.execute(f'SELECT md5(string_agg(t::text, chr(10) ORDER BY t::text)) FROM "{table}" AS t')  # noqa: S608
                digest.update(f"{table} {cursor.fetchone()[0]}".encode())
    return digest.hexdigest()


def current_miles() -> int:
    """What the database says of the one vehicle of the demo."""
    from vehicles.models import Vehicle

    return Vehicle.objects.values_list("current_mileage", flat=True).get()


def practice_times() -> int:
    """How many there are."""
    from teams.models import PracticeTime

    return PracticeTime.objects.count()


@contextmanager
def triggers_off(*tables: str) -> Iterator[None]:
    """As for a bulk load."""
    from django.db import connection

    for switch in ("DISABLE", "ENABLE"):
        with connection.cursor() as cursor:
            for table in tables:
                cursor.execute(f"ALTER TABLE {table} {switch} TRIGGER USER")
        if switch == "DISABLE":
            yield


# The story


class Story:
    """Steps: a sentence before each, the command as it would be typed, and a check behind it."""

    def __init__(self, where: str, rows: int) -> None:
        from integrity.rendering.terminal import console

        self.out = console(sys.stdout)
        self.where, self.rows = where, rows
        self.step = 0

    def tell(self) -> None:
        """From the first command to what to try next."""
        self.say(f"A world of schools, bikes and riders, in the database {DATABASE} of {self.where}.")
        self.run("migrate --verbosity 0")
        self.run("load_test_data")
        self.run("integrity analyze players")
        self.expect("violations", 0)

        self.say("Now it is broken as real bugs break it:")
        faults = self.plant()

        self.say("Whose figures are wrong, by how much, and which rows are suspect?")
        self.run(f"{ANALYZE} --limit 3", code=1)
        self.expect("violations", faults)

        self.say("What would put it right? A dry run does everything, then rolls it back.")
        broken = fingerprint()
        self.run(f"{FIX} --dry-run --limit 2", code=1)
        self.expect("planned rows", faults)
        self.expect("rows as they were", broken, fingerprint())

        self.say("Repair it: locked, in batches, every row journaled; no rider loses a kilometre of the total.")
        repair = self.run(f'{FIX} --reason "double flush" --yes --limit 1')
        self.expect("violations", 0)

        self.say("Is all well now? Every rule of the app, whole tables; then what the repair touched.")
        self.run("integrity analyze players")
        self.expect("violations", 0)
        self.run(f"integrity verify {repair}")
        self.expect("violations", 0)

        self.say("Should it not have been repaired? Take it back.")
        self.run(f"integrity undo {repair} --yes")
        self.expect("rows as they were", broken, fingerprint())
        self.out.print("Every row of every table is what it was before the repair, to the byte. The faults are back:")
        self.run(f"{ANALYZE} --limit 1", code=1)
        self.expect("violations", faults)

        self.say("It was right after all. Repair again.")
        self.run(f'{FIX} --reason "all checked" --yes --limit 1')
        self.expect("violations", 0)
        self.tell_of_vehicles()
        self.tell_of_practice_times()
        self.tell_of_orphans()
        self.tell_of_stats()
        self.go_on()

    def tell_of_vehicles(self) -> None:
        """The same declaration as enforcement: a value that the database keeps true by itself."""
        self.say("Another truth: a vehicle's mileage follows its log. Here the database keeps it true by itself.")
        self.run(f"integrity enforce {MILEAGE}")
        self.log_miles("current", [(2, 41_000), (1, 42_500), (3, 40_000)])
        self.expect("miles", 42_500, current_miles())
        self.out.print("   Three readings in one bulk insert, the oldest last: the vehicle says 42,500 miles.")

        self.say("A load that switches the triggers off leaves it behind; the analysis finds that.")
        with triggers_off("vehicles_vehicleevent"):
            self.log_miles("loaded", [(0, 43_100)])
        self.run(f"integrity analyze {MILEAGE}", code=1)
        self.expect("violations", 1)

        self.say("Repair it, and have it proven again.")
        self.run(f"integrity repair {MILEAGE} --yes")
        self.expect("violations", 0)
        self.run(f"integrity enforce {MILEAGE}")
        self.expect("miles", 43_100, current_miles())

    def tell_of_practice_times(self) -> None:
        """A table of which almost every row repeats another one."""
        self.say("Another world: leagues, their teams, and what members wrote. A backup loop multiplies a table.")
        self.run(f"load_team_test_data --corrupt duplicates --rows {self.rows}")
        self.run(f"{PRACTICE} --dry-run --limit 1", code=1)
        self.expect("planned rows", self.rows - 17)

        self.say("A clean table takes its place; the old one is kept, so that the two can change places again.")
        repair = self.run(f'{PRACTICE} --reason "backup loop" --yes')
        self.run(f"integrity undo {repair} --yes")
        self.expect("practice times", self.rows, practice_times())
        self.run(f'{PRACTICE} --reason "backup loop, checked" --yes')
        self.expect("practice times", 17, practice_times())

    def tell_of_orphans(self) -> None:
        """References whose team is gone, and some of which nobody can tell what they meant."""
        self.say("A nightly import gives every team another number. What members wrote points at the old ones.")
        self.run("load_team_test_data --corrupt orphans near-misses")
        self.run("diagnose_team_id_orphans --limit 5", code=1)
        self.expect("violations", 18)

        self.say("Relink what the evidence leads to exactly one team for. Two wrong links are worse than two orphans.")
        self.run('fix_team_id_orphans --reason "import of tonight" --limit 1 --yes', code=1)
        self.expect("violations", 3)
        self.out.print("   All 15 that the import orphaned are right; three that nothing decides are left to people.")

        self.say("What can be kept true from now on is: no practice time twice, no team twice.")
        self.run("integrity enforce teams")

    def tell_of_stats(self) -> None:
        """Two tables for one truth become one, and the old one could come back."""
        self.say("Core stats stand in the table of an old app and in a new one, and the two disagree.")
        self.run("consolidate_core_stats --phase rollback --yes")
        self.disagree()
        self.run("consolidate_core_stats --phase verify", code=1)
        self.expect("violations", 2)

        self.say("The newest row of each user goes to both tables, and triggers keep them equal from now on.")
        self.run("consolidate_core_stats --phase copy --prefer newest --yes")
        self.expect("violations", 0)

        self.say("Proven equal under a lock, the old table is put aside; `--phase rollback` would bring it back.")
        self.run("consolidate_core_stats --phase cleanup --yes")

    def disagree(self) -> None:
        """Of three users one is alike in both tables, one is newer in the old one, and one is in the old one alone."""
        from django.contrib.auth import get_user_model

        from stats.legacy.models import LegacyCoreStat
        from stats.models import CoreStat

        users = get_user_model().objects.order_by("pk")[:3]
        with triggers_off(CoreStat._meta.db_table, LegacyCoreStat._meta.db_table):
            CoreStat.objects.bulk_create(CoreStat(user=user, strength=30) for user in users[:2])
            old = zip(users, (30, 45, 60), strict=True)
            LegacyCoreStat.objects.bulk_create(LegacyCoreStat(user=user, strength=strength) for user, strength in old)
            for model in (CoreStat, LegacyCoreStat):
                model._base_manager.update(created_at=LONG_AGO, updated_at=LONG_AGO)
            LegacyCoreStat.objects.filter(user=users[1]).update(updated_at=LONG_AGO + timedelta(days=9))

    def log_miles(self, notes: str, readings: list[tuple[int, int]]) -> None:
        """Readings of so many days ago for the one vehicle of the demo."""
        from django.utils import timezone

        from vehicles.models import Vehicle, VehicleEvent

        vehicle, _ = Vehicle.objects.get_or_create(name="Van 1")
        VehicleEvent.objects.bulk_create(
            VehicleEvent(
                vehicle=vehicle,
                type=VehicleEvent.Type.ODOMETER,
                occurred_at=timezone.now() - timedelta(days=days),
                miles=miles,
                notes=notes,
            )
            for days, miles in readings
        )

    def say(self, sentence: str) -> None:
        """What comes next, in plain words."""
        self.step += 1
        self.out.print(f"\n{self.step}. {sentence}", style="bold")

    def run(self, typed: str, *, code: int = 0) -> int:
        """Carry out a command line, and end the demo unless it ends with this exit code. The number of its run."""
        from django.core.management import CommandError, call_command

        from integrity.models import Run

        self.out.print(f"\n$ manage.py {typed}", style="cyan", soft_wrap=True, markup=False)
        words, ended = shlex.split(typed), 0
        try:
            call_command(*words)
        except SystemExit as end:
            ended = end.code if isinstance(end.code, int) else 1
        except CommandError as error:
            stop(str(error))
        if ended != code:
            stop(f"The story went wrong: `manage.py {typed}` ended with exit code {ended} and not {code}.")
        return 0 if words[0] == "migrate" else (Run.objects.values_list("pk", flat=True).first() or 0)

    def expect(self, what: str, wanted: Any, found: Any = None) -> None:
        """End the demo unless it went as told; violations and planned rows are those of the last run."""
        from integrity.models import Run

        if found is None:
            results = Run.objects.latest("pk").results.all()
            found = sum((r.changes if what == "planned rows" else r.violations) or 0 for r in results)
        if found != wanted:
            stop(f"The story went wrong: {what}: {found} and not {wanted}.")

    def plant(self) -> int:
        """Break the data; how many faults there are."""
        from players.test_data import plant_faults

        kinds = Counter(fault.kind for fault in plant_faults())
        for kind, count in kinds.items():
            self.out.print(f"   {count} x {FAULTS[kind]}")
        return kinds.total()

    def go_on(self) -> None:
        """What to try next, with the database that is left."""
        parts = urlsplit(os.environ["DATABASE_URL"])
        url = parts._replace(path=f"{parts.path.rpartition('/')[0]}/{DATABASE}").geturl()
        shown = database_url.masked(url)
        hint = "" if shown == url else "  # with your password"
        manage = f"{os.path.relpath(sys.executable)} manage.py"
        self.say("Go on by yourself; `make demo` starts over.")
        for line in (
            f"\nexport DATABASE_URL='{shown}'{hint}",
            f"{manage} integrity runs                   # what was done, by whom and why",
            f"{manage} integrity rules                  # what must hold, from players/rules.py",
            f"{manage} integrity analyze --format json  # for programs",
            f"{manage} {ANALYZE} --help",
        ):
            self.out.print(line, style="cyan", soft_wrap=True, markup=False)


if __name__ == "__main__":
    # A reader that goes, as in `make demo | head`, is no error.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    main()
