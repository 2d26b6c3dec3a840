"""What the verbs refuse. A message says what is wrong and the way out; `field` names what was given."""


class TeamsError(Exception):
    """A refusal: `field` is the name of the parameter that it is about, empty for none; `status` is that of HTTP."""

    status = 400

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Invalid(TeamsError):
    """A value that cannot be used."""

    status = 422


class Unknown(TeamsError):
    """No such row, or none that this user may see."""

    status = 404


class Forbidden(TeamsError):
    """The user may see it, and not do this."""

    status = 403


class Conflict(TeamsError):
    """It was possible, and as things are now it is not."""

    status = 409
