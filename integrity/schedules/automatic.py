"""Automatic: which of a rule's repairs is carried out without a person, and up to how much."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from integrity.exceptions import WrongDeclaration

if TYPE_CHECKING:
    from integrity.rules.base import Rule

AUTOMATIC = "automatic"
"""The option of a run that nobody has asked for."""
WAY_OUT = "Such as Automatic({strategy!r}, rows=100), or share=0.01 for 1 % of the table."


@dataclass(frozen=True)
class Automatic:
    """``Automatic("delete_extra_metrics", rows=1_000, share=0.01)``.

    strategy: one of the rule's repairs. rows, share: how much of a table it may write; of two limits both hold, and the
    brake of every repair holds beside them. What would be more is left to a person, and nothing is written.
    """

    strategy: str
    rows: int | None = None
    share: float | None = None

    @property
    def limit(self) -> str:
        """``1,000 rows and 1% of the table``."""
        said = [f"{self.rows:,} rows"] if self.rows is not None else []
        said += [f"{self.share * 100:.10g}% of the table"] if self.share is not None else []
        return " and ".join(said)

    def as_json(self) -> dict[str, Any]:
        """As the options of a run have it."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.strategy}, up to {self.limit}"


def automatic_problems(rule: Rule) -> Iterator[WrongDeclaration]:
    """Why a rule's repair cannot be automatic."""
    given = rule.automatic
    if given is None:
        return
    if given.strategy not in rule.repairs:
        yield WrongDeclaration(
            f"automatic= names the repair {given.strategy!r}, which it does not have",
            f"Known: {', '.join(rule.repairs) or 'none; declare it in repairs='}.",
        )
    elif any(step.whole for step in rule.repairs[given.strategy]):
        yield WrongDeclaration(
            f"automatic= names {given.strategy!r}, which makes a whole table anew",
            "That is for a person to begin; a repair that writes rows may be automatic.",
        )
    if given.rows is None and given.share is None:
        yield WrongDeclaration("automatic= has no limit", WAY_OUT.format(strategy=given.strategy))
    if given.rows is not None and given.rows < 1:
        yield WrongDeclaration(f"automatic= allows {given.rows} rows", WAY_OUT.format(strategy=given.strategy))
    if given.share is not None and not 0 < given.share <= 1:
        yield WrongDeclaration(f"automatic= allows a share of {given.share:g}", "A share is above 0 and up to 1.")
