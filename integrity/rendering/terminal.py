"""What people read is made of: tables on a terminal, plain columns in a pipe, statuses in their colours."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from integrity.shown import show

STYLES = {
    "clean": "green",
    "retired": "green",
    "violated": "red",
    "partial": "yellow",
    "failed": "red",
    "refused": "yellow",
}
PIPED_WIDTH = 200


def console(stream: TextIO, *, plain: bool = False) -> Console:
    """A console on a stream; without colour, and as wide as COLUMNS or very wide, where nobody looks at it."""
    terminal = not plain and getattr(stream, "isatty", lambda: False)()
    if terminal:
        return Console(file=stream, highlight=False, no_color=bool(os.environ.get("NO_COLOR")))
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) else PIPED_WIDTH
    return Console(file=stream, highlight=False, no_color=True, force_terminal=False, width=width)


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, right: Sequence[str] = ()) -> Table:
    """A table whose cells never lose a character silently: long ones fold."""
    made = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold", padding=(0, 1, 0, 0))
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else Text(show(cell)) for cell in row))
    return made


def fitting(out: Console, columns: Mapping[str, Sequence[Any]], *, right: Sequence[str], least: Sequence[str]) -> Table:
    """A table of whole words: what a narrow terminal has no room for is left out, ``least`` in this order."""
    kept, unlimited = dict(columns), out.options.update(max_width=10_000)
    for column in (*least, ""):
        made = table(list(kept), zip(*kept.values(), strict=True), right=right)
        if Measurement.get(out, unlimited, made).maximum <= out.width:
            break
        kept.pop(column, None)
    return made


def status(text: str) -> Text:
    """A status in its colour."""
    return Text(text, style=STYLES.get(text, ""))
