"""A progress bar for whoever watches."""

from __future__ import annotations

from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from integrity.observer import Observer


class ProgressBar(Observer):
    """A bar on a terminal for as long as the work lasts."""

    def __init__(self, out: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=out,
            transient=True,
        )
        self.task: Any = None
        self.what = ""

    def __enter__(self) -> Self:
        self.progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()

    def begins(self, what: str, total: int | None) -> None:
        if total == 0:
            return
        if self.task is not None:
            self.progress.remove_task(self.task)
        self.what = what
        self.task = self.progress.add_task(what, total=total)

    def waits(self, why: str) -> None:
        if self.task is not None:
            self.progress.update(self.task, description=f"{self.what} (waits: {why})" if why else self.what)

    def advances(self, what: str, done: int = 1) -> None:
        if self.task is not None:
            self.progress.advance(self.task, done)
