"""Whether the kilometres of one row add up; the pages are those of every rule."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.utils.html import format_html
from django.utils.safestring import SafeString

from config.administration.repairs import Broken, Repairable
from integrity.reports import Report, RuleReport
from players.admin.base import signed
from players.mileage import Selection, explain


@dataclass(frozen=True)
class Fact:
    """One figure of the comparison."""

    label: str
    km: Decimal | None = None
    text: str = ""
    hint: str = ""


def adds_up(off_by: Decimal) -> SafeString:
    """Yes, or by how much not."""
    if off_by:
        return format_html('<span class="verdict bad">off by {}</span>', signed(off_by))
    return format_html('<span class="verdict good">{}</span>', "yes")


class Totalled(Repairable):
    """An admin whose rows have a total that other rows explain."""

    check_template = "admin/players/check.html"
    planned_template = "admin/players/planned.html"

    def facts(self, obj: Any) -> list[Fact]:
        """The figures that should agree."""
        raise NotImplementedError

    def broken(self, obj: Any) -> list[Broken]:
        return [self._explained(found) for found in super().broken(obj)]

    def question(self, obj: Any) -> str:
        return f"Does {obj} add up?"

    def in_words(self, broken: Sequence[Broken]) -> SafeString:
        return adds_up(broken[0].finding.evidence["difference"] if broken else Decimal(0))

    @admin.display(description="adds up")
    def verdict(self, obj: Any) -> SafeString:
        return super().verdict(obj)

    @staticmethod
    def _explained(found: Broken) -> Broken:
        """With the rows that are most likely at fault."""
        report = RuleReport(found.rule.label, sample=[found.finding])
        explain(Report(0, "analyze", rules=[report]), Selection(threshold=Decimal(0)), 1)
        return Broken(found.rule, report.sample[0])
