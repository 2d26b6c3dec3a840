"""What can go wrong, as sentences that name the thing, the value and the way out."""

from __future__ import annotations


class EngineError(Exception):
    """Base of everything that the engine refuses or cannot do. ``exit_code`` is that of the command."""

    exit_code = 3


class UsageError(EngineError):
    """A request that names something unknown or contradicts itself; nothing was done."""

    exit_code = 2


class WrongDeclaration(UsageError):
    """A rule or repair that cannot mean what it says; reported as a system check with its hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UnknownName(UsageError):
    """A name that nothing is registered under; the known ones are listed."""

    def __init__(self, kind: str, wanted: str, known: list[str]) -> None:
        listed = ", ".join(sorted(known)) or "none"
        super().__init__(f"Unknown {kind} {wanted!r}. Known: {listed}.")


class NotChecked(EngineError):
    """Something could not be looked at: a missing table, a database that is down, a cancelled query."""


class Refused(EngineError):
    """A repair or undo that was stopped before it wrote anything."""


class Harm(Refused):
    """A batch after which a rule is broken that was not before, or is broken more."""


class TooBusy(EngineError):
    """A row that others kept from a repair for as long as it had patience."""


class RunInProgress(Refused):
    """Another run works on the same rule."""


class Cancelled(EngineError):
    """Somebody has asked this run to end before its next batch."""


class Paused(EngineError):
    """Somebody has paused this run; whoever works on a part of it leaves that to be taken again."""


class LostRun(Refused):
    """This process was declared dead and another one took its run over."""


class WrongKey(UsageError):
    """An API key that opens nothing: unknown, revoked or expired."""


def sentence(error: Exception) -> str:
    """The first line of an error, for records and terminals."""
    return str(error).strip().split("\n")[0] or type(error).__name__
