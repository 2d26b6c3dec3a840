"""Files that somebody sent, kept in a folder that only this account reads until their import has ended.

Each upload has a folder of its own and holds a lock on it for as long as its process works with it; a run that waits
for a worker names the folder. A folder that neither is true of was left by a process that died, and is swept away.
Nothing that a sender wrote becomes a path: files are named by the feeds, which are declared.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path, PurePath

from integrity.conf import conf
from integrity.exceptions import NotChecked, UsageError
from integrity.importing.arriving import Arriving
from integrity.importing.declarations import Feed, Import
from integrity.importing.sources import SUFFIXES

_LOCK = "lock"
_YOUNG_SECONDS = 60
"""A folder is left alone for so long, whatever seems to be true of it."""


class WrongFile(UsageError):
    """A file that cannot be imported; ``part`` is how the sender calls it."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


def home() -> Path:
    """The folder of all uploads. Raises NotChecked where others could read or change what lies there."""
    given = conf().UPLOAD_DIR
    folder = Path(given) if given else Path(tempfile.gettempdir()) / f"integrity-uploads-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, parents=bool(given), exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise NotChecked(
            f"Uploads cannot be kept in {folder}: {error.strerror}. See INTEGRITY['UPLOAD_DIR']."
        ) from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise NotChecked(
            f"Uploads cannot be kept in {folder}: it must be a folder of this account that nobody else may enter"
            f" (chmod 700 {folder}). See INTEGRITY['UPLOAD_DIR']."
        )
    return folder


class Upload:
    """The files of one import. Its folder is made with the first of them."""

    def __init__(self) -> None:
        self.files: dict[str, Path] = {}
        """By the name of the part that brought them."""
        self.wrong: list[WrongFile] = []
        self._folder: Path | None = None
        self._lock = -1

    @property
    def folder(self) -> Path:
        """Where its files are."""
        if self._folder is None:
            sweep()
            folder = home() / uuid.uuid4().hex
            folder.mkdir(mode=0o700)
            self._lock = os.open(folder / _LOCK, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._folder = folder
        return self._folder

    def receive(self, part: str, file_name: str) -> Arriving | None:
        """Begin with a file; None, and noted as wrong, for one that cannot be imported."""
        suffix = PurePath(file_name).suffix.lower()
        if part in self.files:
            self.refuse(part, "was sent twice. Send one file for each feed.")
            return None
        if suffix not in SUFFIXES:
            ending = f"ends in {suffix}" if suffix else "has no ending"
            self.refuse(part, f"has a file name that {ending}. Known: {', '.join(SUFFIXES)}.")
            return None
        path = self.folder / f"part-{len(self.files)}{suffix}"
        self.files[part] = path
        return Arriving(path, lambda message: self.refuse(part, message))

    def refuse(self, part: str, message: str) -> None:
        """Note that a file is wrong, and how."""
        self.wrong.append(WrongFile(part, f"{part} {message}"))

    def require(self, wanted: Import) -> None:
        """Name each file by its feed. Raises WrongFile for what is no feed, given twice, missing or wrong."""
        for wrong in self.wrong:
            raise wrong
        given: dict[Feed, str] = {}
        for part in self.files:
            feed = next((feed for feed in wanted.feeds if part in (feed.name, feed.file)), None)
            if feed is None:
                known = ", ".join(feed.name for feed in wanted.feeds)
                raise WrongFile(part, f"{wanted.label} has no feed {part!r}. Known: {known}.")
            if feed in given:
                raise WrongFile(part, f"{part} and {given[feed]} are the same feed. Send one file for each.")
            given[feed] = part
        for feed in wanted.feeds:
            if feed.required and feed not in given:
                raise WrongFile(feed.name, f"{wanted.label} needs a file for its feed {feed.name}.")
        for feed, part in given.items():
            path = self.files[part]
            self.files[part] = path.rename(self.folder / f"{feed.file}{path.suffix}")

    def part_of(self, feed: Feed) -> str:
        """How the sender called the file of a feed."""
        return feed.name if feed.name in self.files else feed.file

    def keep(self) -> None:
        """Leave the files to the run that names them, which removes them."""
        self._release()
        self._folder = None

    def discard(self) -> None:
        """Remove everything; harmless when it is gone or kept."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1


# What dead processes have left


def sweep() -> int:
    """Remove uploads that no process works with and no run waits for. How many."""
    left = [folder for folder in _folders() if _is_left(folder)]
    waited_for = _waited_for() if left else set()
    left = [folder for folder in left if str(folder) not in waited_for]
    for folder in left:
        shutil.rmtree(folder, ignore_errors=True)
    return len(left)


def _folders() -> Iterator[Path]:
    with os.scandir(home()) as found:
        for entry in found:
            if _NAME.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False):
                yield Path(entry.path)


def _is_left(folder: Path) -> bool:
    try:
        # Its owner may be about to lock it.
        if time.time() - folder.stat().st_mtime < _YOUNG_SECONDS:
            return False
        lock = os.open(folder / _LOCK, os.O_WRONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True


def _waited_for() -> set[str]:
    """Folders that runs name which have not ended."""
    from integrity import statuses
    from integrity.models import Run

    waiting = Run.objects.filter(verb=Run.Verb.IMPORT, status__in=[statuses.QUEUED, statuses.RUNNING])
    return {str(call.get("given")) for call in waiting.values_list("options__call", flat=True) if call}


_NAME = re.compile("[0-9a-f]{32}")
_PATH = re.compile(r"[^\s'\"]*/[0-9a-f]{32}/")


def without_folder(text: str) -> str:
    """A sentence about an uploaded file without the folder that it lay in, which says nothing to its sender."""
    return _PATH.sub("", text)
