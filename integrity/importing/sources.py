"""Rows of a file with the line on which each begins: JSON, JSON lines, CSV, or whatever a program yields.

What is wrong with one row is a problem of that row. What is wrong with the whole file (no JSON, cut off, no header) is
UnreadableFile: a file of which the end is missing must not make rows vanish.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from integrity.exceptions import Refused, UsageError

SUFFIXES = (".json", ".jsonl", ".ndjson", ".csv")
Row = tuple[int, Any]
"""The line on which a row begins, and the row: a mapping, or a sentence about what is wrong with it."""
Given = Path | Iterable[Mapping[str, Any]]


def _refuse_constant(word: str) -> None:
    raise ValueError(f"{word} is no JSON")


_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder(parse_float=str, parse_constant=_refuse_constant)


class UnreadableFile(Refused):
    """A file that could not be read to its end; nothing was written."""


class BadRow(str):
    """What is wrong with a row that cannot be read at all."""

    __slots__ = ()


def find(given: Path, name: str, *, required: bool = True) -> Path | None:
    """The file of a feed: ``given`` itself, or the one of this name in that folder. Raises UsageError.

    None for one that is not there and is not required.
    """
    if given.is_file():
        if given.suffix.lower() not in SUFFIXES:
            raise UsageError(f"{given} ends in {given.suffix or 'nothing'}. Known: {', '.join(SUFFIXES)}.")
        return given
    if not given.is_dir():
        raise UsageError(f"{given} is neither a file nor a folder.")
    found = [path for suffix in SUFFIXES if (path := given / f"{name}{suffix}").is_file()]
    if not found:
        if not required:
            return None
        raise UsageError(f"{given} has no file {name}{SUFFIXES[0]} (nor {', '.join(SUFFIXES[1:])}).")
    if len(found) > 1:
        raise UsageError(f"{given} has {' and '.join(path.name for path in found)}: leave one of them.")
    return found[0]


def rows(given: Given) -> Iterator[Row]:
    """The rows of a file, or of an iterable of mappings, whose lines are their numbers."""
    if not isinstance(given, Path):
        yield from enumerate(given, 1)
        return
    try:
        if given.suffix.lower() == ".csv":
            yield from _csv(given)
        elif given.suffix.lower() == ".json":
            yield from _json(given, given.read_text("utf-8-sig"))
        else:
            yield from _json_lines(given)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UnreadableFile(f"{given} cannot be read: {error}. Nothing was written. Save it as UTF-8.") from None
    except OSError as error:
        raise UnreadableFile(f"{given} cannot be read: {error.strerror}. Nothing was written.") from None


def _json(path: Path, text: str) -> Iterator[Row]:
    """The elements of one array, without holding all of them at once."""

    def gap(position: int) -> int:
        return _SPACE.match(text, position).end()  # type: ignore[union-attr]

    position, line, counted = gap(0), 1, 0
    if text[position : position + 1] != "[":
        raise UnreadableFile(f"{path} is no JSON array of rows. Nothing was written.")
    position = gap(position + 1)
    while text[position : position + 1] != "]":
        line, counted = line + text.count("\n", counted, position), position
        try:
            row, position = _DECODER.raw_decode(text, position)
        except ValueError as error:
            raise _broken(path, text, line, error) from None
        yield line, row
        position = gap(position)
        if text[position : position + 1] == ",":
            position = gap(position + 1)
        elif text[position : position + 1] != "]":
            raise _broken(path, text, line + text.count("\n", counted, position), None)
    if gap(position + 1) != len(text):
        raise UnreadableFile(f"{path} goes on after the end of its array. Nothing was written.")


def _broken(path: Path, text: str, line: int, error: ValueError | None) -> UnreadableFile:
    line = getattr(error, "lineno", line)
    reason = getattr(error, "msg", None) or str(error or "neither a comma nor the end of the array follows")
    cut = " The file seems to be cut off." if not text.rstrip().endswith("]") else ""
    return UnreadableFile(f"{path}, line {line}: {reason}.{cut} Nothing was written.")


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                row = _DECODER.decode(line)
            except ValueError as error:
                if not line.endswith("\n"):
                    raise UnreadableFile(f"{path}, line {number}: it is cut off here. Nothing was written.") from None
                row = BadRow(f"no JSON: {getattr(error, 'msg', error)}")
            yield number, row


def _csv(path: Path) -> Iterator[Row]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, strict=True)
        header = next(reader, [])
        check_header(path, header)
        after = reader.line_num
        for cells in reader:
            line, after = after + 1, reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                yield line, BadRow(f"{len(cells)} cells where the header has {len(header)}")
            else:
                yield line, {name: cell or None for name, cell in zip(header, cells, strict=True)}


def check_header(path: Path, header: list[str]) -> None:
    """Raises UnreadableFile for a file without one, or with one that names a field twice."""
    if not any(header):
        raise UnreadableFile(f"{path} has no header. Nothing was written.")
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise UnreadableFile(f"The header of {path} has {', '.join(map(repr, twice))} twice. Nothing was written.")
