"""What the verbs refuse. A message says what is wrong and the way out; `field` names what was given."""


class Invalid(Exception):
    """A value that cannot be used: `field` is the name of the parameter that it is about, empty for none."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field
