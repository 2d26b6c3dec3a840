"""A file on its way to the disk: looked at piece by piece as it passes by, and never held as a whole."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_TAIL = 1 << 16
_MARK_AND_SPACE = b"\xef\xbb\xbf \t\r\n"


class Arriving:
    """One file. refuse: is told, at most once, in what way it cannot be imported; it is removed then."""

    def __init__(self, path: Path, refuse: Callable[[str], None]) -> None:
        self.path, self.refuse = path, refuse
        self.file: BinaryIO | None = path.open("xb")
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.head, self.tail, self.size = b"", b"", 0

    def write(self, data: bytes) -> None:
        """The next piece; what comes after a piece that is wrong is thrown away."""
        if self.file is None:
            return
        if wrong := self._wrong(data, final=False):
            self._give_up(wrong)
            return
        self.file.write(data)
        self.size += len(data)
        self.head = self.head or data.lstrip(_MARK_AND_SPACE)[:1]
        self.tail = (self.tail + data[-_TAIL:])[-_TAIL:]

    def end(self) -> None:
        """It has come to its end."""
        if self.file is None:
            return
        wrong = self._wrong(b"", final=True)
        if not wrong and not self.head:
            wrong = "is empty."
        if not wrong and self._is_cut_off():
            wrong = "is cut off at its end. Send it again."
        if wrong:
            self._give_up(wrong)
        self.close()

    def close(self) -> None:
        if self.file is not None:
            self.file.close()
            self.file = None

    def _wrong(self, data: bytes, *, final: bool) -> str:
        if b"\0" in data:
            return f"holds a NUL character at byte {self.size + data.index(0)}. Save it as UTF-8."
        try:
            self.decoder.decode(data, final)
        except UnicodeDecodeError as error:
            return f"is not UTF-8, near byte {self.size + error.start}. Save it as UTF-8."
        return ""

    def _is_cut_off(self) -> bool:
        if self.path.suffix == ".json":
            return self.head == b"[" and not self.tail.rstrip().endswith(b"]")
        if self.path.suffix == ".csv" or self.tail.endswith(b"\n"):
            return False
        before, _, last = self.tail.rpartition(b"\n")
        if not before and self.size > len(self.tail):
            return False
        try:
            json.loads(last)
        except ValueError:
            return True
        return False

    def _give_up(self, wrong: str) -> None:
        self.close()
        self.path.unlink(missing_ok=True)
        self.refuse(wrong)
