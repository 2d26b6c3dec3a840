"""How much may change at once: a share of the rows there are, or a number of them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from integrity.exceptions import WrongDeclaration

_ROWS, _SHARE = 10, Fraction(1, 10)


@dataclass(frozen=True)
class Limit:
    """The greater of ``rows`` and ``share`` of the rows that there were."""

    rows: int
    share: Fraction

    @classmethod
    def declared(cls, given: str | int | None) -> Limit:
        """``"5%"``, ``3``, or None for the greater of 10 rows and 10 %. Raises WrongDeclaration."""
        if given is None:
            return cls(_ROWS, _SHARE)
        if isinstance(given, int) and given >= 0:
            return cls(given, Fraction(0))
        if found := re.fullmatch(r"(\d+(?:\.\d+)?) ?%", str(given)):
            return cls(0, Fraction(found[1]) / 100)
        raise WrongDeclaration(f"{given!r} is neither a share such as '5%' nor a number of rows such as 5")

    def allows(self, changed: int, of: int) -> bool:
        """True while ``changed`` of so many rows is not too much."""
        return changed <= self.rows or changed <= self.share * of

    def __str__(self) -> str:
        share = f"{float(self.share * 100):.10g}%"
        if not self.share:
            return str(self.rows)
        return f"{share} or {self.rows}" if self.rows else share
