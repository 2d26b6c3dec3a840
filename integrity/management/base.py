"""What every command of the engine shares: exit codes, JSON, errors in one sentence, consent.

Exit codes: 0 clean, 1 violations (or changes planned in a dry run), 2 usage or configuration error, 3 something could
not be checked or finished.
"""

from __future__ import annotations

import json
import sys
import traceback
from argparse import SUPPRESS, ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from typing import Any, TextIO, cast

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser, SystemCheckError
from django.db import DatabaseError, InterfaceError, OperationalError, connections
from psycopg import errors

from integrity.conf import conf
from integrity.exceptions import EngineError, UsageError, sentence
from integrity.observer import Observer
from integrity.reports import Report, rows

FORMATS = ("table", "json", "csv")
EXPECTED = (EngineError, DatabaseError, InterfaceError, ImproperlyConfigured)
"""What needs no traceback to be understood."""


class EngineCommand(BaseCommand):
    """A thin door: it parses, calls a verb, renders the report and exits with its code."""

    verb = ""
    """For the JSON of an error that came before there was a report."""
    epilog = ""
    words: Sequence[str] = ()
    """What was typed behind the name of the command."""

    def run_from_argv(self, argv: list[str]) -> None:
        self.words = argv[2:]
        super().run_from_argv(argv)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs.setdefault("epilog", self.epilog)
        kwargs.setdefault("formatter_class", RawDescriptionHelpFormatter)
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        self.refuse_in_json(parser)
        return parser

    def refuse_in_json(self, parser: Any) -> None:
        """Make what a parser refuses an object too, where one was asked for; a subparser needs this as well."""
        refuse = parser.error

        def error(message: str) -> None:
            if "--format json" in " ".join(self.words).replace("=", " "):
                verb = self.verb or next((word for word in self.words if not word.startswith("-")), "")
                self._print_error(message, UsageError.exit_code, {"format": "json", "verb": verb})
            refuse(message)

        parser.error = error

    def execute(self, *args: Any, **options: Any) -> Any:
        """Run, and turn what goes wrong into one sentence and the right exit code."""
        try:
            conf()
            return super().execute(*args, **options)
        except CommandError as error:
            error.returncode = UsageError.exit_code
            wrong = "A declaration is wrong; stderr says which." if isinstance(error, SystemCheckError) else str(error)
            self._print_error(wrong, error.returncode, options)
            raise
        except Exception as error:
            # Python alone would end with 1, which says that everything was looked at.
            message, code = explain(error)
            self._print_error(message, code, options)
            hidden = isinstance(error, EXPECTED) and not options.get("traceback")
            self.stderr.write(message if hidden else traceback.format_exc())
            raise SystemExit(code) from error

    def _print_error(self, message: str, code: int, options: dict[str, Any]) -> None:
        """The object that a program reads where there is no report."""
        if options.get("format") == "json":
            from integrity.rendering.machine import error_object

            status = "refused" if code == UsageError.exit_code else "failed"
            verb = str(options.get("verb") or self.verb)
            self.stdout.write(json.dumps(error_object(verb, message, status), ensure_ascii=False))

    # Doors to the verbs

    def perform(self, verb: Callable[[Observer], Report], options: dict[str, Any]) -> Report:
        """Call a verb, with a progress bar where somebody looks."""
        if options["format"] != "table" or not self._is_terminal(sys.stderr):
            return verb(Observer())
        from integrity.rendering.bar import ProgressBar
        from integrity.rendering.terminal import console

        with ProgressBar(console(sys.stderr)) as bar:
            return verb(bar)

    def render(self, report: Report, options: dict[str, Any]) -> None:
        """Print a report in the format asked for."""
        from integrity.rendering import machine

        if report.verb == "import":
            self._render_import(report, options)
        elif options["format"] == "json":
            self.stdout.write(machine.to_json(report))
        elif options["format"] == "csv":
            self.stdout.write(machine.to_csv(report))
        else:
            self.print_tables(report, options)

    def _render_import(self, report: Any, options: dict[str, Any]) -> None:
        from integrity.rendering import imports

        if options["format"] == "table":
            imports.print_import(self.console(options), report)
        else:
            self.stdout.write((imports.to_json if options["format"] == "json" else imports.to_csv)(report))

    def print_tables(self, report: Report, options: dict[str, Any]) -> None:
        """Print a report for people; a door may show its own columns."""
        from integrity.rendering.report import print_report

        print_report(self.console(options), report)

    def finish(self, report: Report, options: dict[str, Any]) -> None:
        """Print a report and exit with its code."""
        self.render(report, options)
        if report.exit_code:
            raise SystemExit(report.exit_code)

    def console(self, options: dict[str, Any]) -> Any:
        from integrity.rendering.terminal import console

        return console(cast("TextIO", self.stdout._out), plain=bool(options.get("no_color")))

    # Consent

    @property
    def is_interactive(self) -> bool:
        """True when a person can be asked."""
        return self._is_terminal(sys.stdin) and self._is_terminal(sys.stdout)

    @staticmethod
    def _is_terminal(stream: Any) -> bool:
        return bool(getattr(stream, "isatty", lambda: False)())

    def consent(self, plan: Callable[[], Report], options: dict[str, Any]) -> bool:
        """Ask a person after showing the plan. Off a terminal the verb itself is the consent.

        Where there is nothing to write, or the answer is no, the command ends as a dry run does.
        """
        if options["yes"] or options["format"] != "table" or not self.is_interactive:
            return True
        planned = plan()
        self.render(planned, options)
        if planned.changes and not any(rule.brake for rule in planned.rules):
            if self._agrees(f"Write {rows(planned.changes)}? [y/N] "):
                return True
            self.stdout.write("Nothing was written.")
        if planned.exit_code:
            raise SystemExit(planned.exit_code)
        return False

    def agrees_to_put_off(self, options: dict[str, Any]) -> bool:
        """Ask a person without the plan, which would take as long as what is put off."""
        if options["yes"] or options["format"] != "table" or not self.is_interactive:
            return True
        if self._agrees("Leave it to worker processes? What it would write tells --dry-run. [y/N] "):
            return True
        self.stdout.write("Nothing was put off.")
        return False

    def _agrees(self, question: str) -> bool:
        try:
            return input(question).strip().lower() in ("y", "yes")
        except (EOFError, KeyboardInterrupt):
            self.stdout.write("")
            return False

    def require_yes_to_open_brake(self, options: dict[str, Any]) -> None:
        """A brake that is opened by cron must be opened on purpose."""
        if options["max_affected"]:
            self.require_yes("--max-affected opens the brake", options)

    def require_yes(self, what: str, options: dict[str, Any]) -> None:
        """What a person would be asked about must be said on purpose where nobody can be asked."""
        if not (options["yes"] or options["dry_run"] or self.is_interactive):
            raise UsageError(f"{what}: without a terminal to ask on, add --yes.")


def add_django_options(parser: Any) -> None:
    """Django's own options, also behind the verb, where people write them."""
    for flag in ("--traceback", "--no-color", "--force-color", "--skip-checks"):
        parser.add_argument(flag, action="store_true", default=SUPPRESS, help=SUPPRESS)
    for option in ("--settings", "--pythonpath"):
        parser.add_argument(option, default=SUPPRESS, help=SUPPRESS)
    parser.add_argument("-v", "--verbosity", type=int, default=SUPPRESS, help=SUPPRESS)


def add_format(parser: Any) -> None:
    """How to print, and how much."""
    parser.add_argument("--format", choices=FORMATS, default="table", help="How to print the report (default: table).")
    parser.add_argument(
        "--limit",
        type=positive,
        default=20,
        metavar="N",
        help="How many violations or rows to show per rule (default: 20).",
    )


def add_writing(parser: Any) -> None:
    """Options of everything that writes."""
    parser.add_argument(
        "--dry-run", action="store_true", help="Do everything, then roll it back; exit 1 if rows would change."
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="Why, for the record.")
    parser.add_argument("--yes", action="store_true", help="Do not ask.")


def add_brake(parser: Any) -> None:
    """The option that opens the brake."""
    parser.add_argument(
        "--max-affected",
        metavar="LIMIT",
        help="How much of a table may be written: 30%% or 5000 rows (default: the greater of 100 rows and 5%%).",
    )


def positive(text: str) -> int:
    """A whole number from 1 on, for argparse."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def explain(error: Exception) -> tuple[str, int]:
    """One sentence, and the exit code."""
    if isinstance(error, EngineError):
        return str(error), error.exit_code
    if isinstance(error, ImproperlyConfigured):
        return sentence(error), UsageError.exit_code
    if not isinstance(error, DatabaseError | InterfaceError):
        return f"{type(error).__name__}: {sentence(error)}", EngineError.exit_code
    settings = connections["default"].settings_dict
    where = f"{settings['NAME']!r} at {settings['HOST'] or 'the local socket'}"
    if isinstance(error.__cause__, errors.UndefinedTable | errors.UndefinedColumn | errors.InvalidSchemaName):
        return f"The database {where} lacks what the models declare ({sentence(error)}). Run: manage.py migrate", 3
    if isinstance(error, OperationalError | InterfaceError):
        return (
            f"The database {where} cannot be used: {sentence(error)}. Check DATABASE_URL and that the server runs.",
            3,
        )
    return f"The database {where} refused ({type(error).__name__}): {sentence(error)}", 3
