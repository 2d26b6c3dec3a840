"""The limit of an automatic repair, beside the brake of every repair."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from integrity.exceptions import Refused
from integrity.safety import Brake
from integrity.schedules.automatic import Automatic


@dataclass(frozen=True)
class AutomaticBrake(Brake):
    """The brake of every repair, and before it the limit of an automatic one."""

    automatic: Automatic

    @classmethod
    def of(cls, automatic: Automatic) -> AutomaticBrake:
        """With the settings that hold for every repair."""
        usual = Brake.declared(None)
        return cls(usual.rows, usual.share, automatic)

    def check(self, table: str, planned: int, written: int, connection: Any, *, rows: int | None = None) -> None:
        total, most = planned + written, self.automatic
        beyond = most.rows is not None and total > most.rows
        if most.share is not None and not beyond:
            share = Fraction(str(most.share))
            counted = self._count(table, int(total / share) + 1, connection) if rows is None else rows
            beyond = total > share * counted
        if beyond:
            raise Refused(
                f"{planned} rows of {table} would be written, and an automatic repair may write {most.limit}."
                f" {f'{written} were written before.' if written else 'Nothing was written.'} It waits for a person."
            )
        super().check(table, planned, written, connection, rows=rows)
