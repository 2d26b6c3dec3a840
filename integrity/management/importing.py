"""What every command that imports shares; an app's own door names its import."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from integrity.exceptions import UsageError
from integrity.importing.declarations import Import
from integrity.importing.reports import ImportReport
from integrity.management.base import EngineCommand, add_format, add_writing


class ImportCommand(EngineCommand):
    """A door to one import. ``only_option``: how an app calls the part of a feed that is imported alone."""

    verb = "import"
    label = ""
    only_option = "--only"

    def add_arguments(self, parser: CommandParser) -> None:
        add_importing(parser, self.only_option)

    def handle(self, *_: Any, **options: Any) -> None:
        from integrity.importing.known import imports

        import_files(self, imports.get(self.label), options)


def add_importing(parser: Any, only_option: str = "--only") -> None:
    """The options of an import."""
    parser.add_argument("path", type=Path, metavar="PATH", help="The folder with the files, or the file.")
    parser.add_argument(only_option, dest="only", metavar="X", help="Only this part of the feed; the rest stays.")
    parser.add_argument("--batch-size", type=int, metavar="N", help="Rows within one savepoint.")
    parser.add_argument(
        "--error-budget", type=int, metavar="N", help="How many rows may be rejected before nothing is imported."
    )
    parser.add_argument(
        "--rejects",
        type=Path,
        metavar="FILE",
        help="Where rejected rows go, as JSON lines (default: rejected-RUN.jsonl beside the files).",
    )
    add_writing(parser)
    add_format(parser)
    parser.set_defaults(limit=20)


def import_files(command: EngineCommand, wanted: Import, options: dict[str, Any]) -> None:
    """Import, print what became of it, and exit with its code."""
    from integrity.importing.verb import run_import

    path: Path = options["path"]
    if not path.exists():
        raise UsageError(f"{path} does not exist.")
    beside = path if path.is_dir() else path.parent
    # A dry run leaves nothing behind, unless it is asked to.
    rejects = options["rejects"] or (None if options["dry_run"] else beside / "rejected-{run}.jsonl")

    def run(*, dry_run: bool) -> ImportReport:
        done = command.perform(
            lambda watch: run_import(
                wanted,
                path,
                only=options["only"],
                dry_run=dry_run,
                batch_size=options["batch_size"],
                error_budget=options["error_budget"],
                rejects=rejects if dry_run == options["dry_run"] else None,
                reason=options["reason"],
                sample=options["limit"],
                observer=watch,
            ),
            options,
        )
        assert isinstance(done, ImportReport)
        return done

    if options["dry_run"] or command.consent(lambda: run(dry_run=True), options):
        command.finish(run(dry_run=options["dry_run"]), options)
