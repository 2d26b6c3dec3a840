"""What the verbs refuse. A message says what is wrong and the way out; `field` names what was given."""


class VehiclesError(Exception):
    """A refusal: `field` is the name of the parameter that it is about, empty for none."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


class Invalid(VehiclesError):
    """A value that cannot be used."""


class Unknown(VehiclesError):
    """No such row."""
