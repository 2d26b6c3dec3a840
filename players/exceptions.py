"""What the verbs refuse. A message says what is wrong and the way out; `field` names what was sent."""


class PlayersError(Exception):
    """A refusal: `field` is the name of the parameter that it is about, empty for none."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Invalid(PlayersError):
    """A value that cannot be used."""


class Unknown(PlayersError):
    """No such row, or none that may be seen."""


class NoKey(PlayersError):
    """A key is needed and none was sent."""


class WrongKey(PlayersError):
    """The key is unknown or revoked, or belongs to another device."""


class Reused(PlayersError):
    """An Idempotency-Key that came with another body before."""


class TooMany(PlayersError):
    """More requests than the limit allows; the next one is welcome after `seconds`."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Malformed(PlayersError):
    """A body that nobody can read."""


class TooLarge(PlayersError):
    """A body that is larger than any report."""


class WrongMediaType(PlayersError):
    """A body that does not say that it is JSON."""
