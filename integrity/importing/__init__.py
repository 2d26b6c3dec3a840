"""A guarded import: rows of a feed become rows of a model, and no row that others refer to changes its identity."""

from integrity.importing.declarations import KEEP, Feed, Import
from integrity.importing.kept import Kept
from integrity.importing.verb import run_import

__all__ = ["KEEP", "Feed", "Import", "Kept", "run_import"]
