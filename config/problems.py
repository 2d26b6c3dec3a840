"""What an error looks like in every part of the API: as in the engine's."""

from integrity.api.problems import WAIT, FieldError, Problem, problem, refusals

__all__ = ["WAIT", "FieldError", "Problem", "problem", "refusals"]
