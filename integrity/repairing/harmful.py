"""What of a planned write can make other rows break a rule, told from the declaration; the rest need not be looked at.

Whatever is not certain can do harm.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db.models import Model
from django.db.models.expressions import RawSQL

from integrity.paths import parts
from integrity.repairs.base import DELETE, INSERT, UPDATE
from integrity.touched import concerns, read_columns

if TYPE_CHECKING:
    from integrity.repairing.plan import Plan
    from integrity.rules.base import Rule


def can_harm(rule: Rule, plan: Plan) -> bool:
    """False where no row that is planned can make any row break the rule."""
    if not concerns(plan.model, rule):
        return False
    if plan.count(INSERT) or not _tells_what_it_reads(rule):
        return True
    if plan.count(DELETE) and _needs_rows_of(rule, plan.model):
        return True
    return bool(plan.count(UPDATE)) and _reads_any(rule, plan)


def _tells_what_it_reads(rule: Rule) -> bool:
    """False for one with a subquery or SQL of its own: its paths do not say which rows and columns those read."""
    return not any(hasattr(part, "query") or isinstance(part, RawSQL) for part in parts(rule.expressions()))


def _needs_rows_of(rule: Rule, model: type[Model]) -> bool:
    """True where a row may break the rule because one of this table is gone."""
    table = model._meta.db_table
    related = any(hop.model._meta.db_table == table for path in rule.all_paths() for hop in path.hops)
    return related or rule.needs_other_rows


def _reads_any(rule: Rule, plan: Plan) -> bool:
    """True where the rule reads a column that changes."""
    return not plan.changes.isdisjoint(read_columns(rule, plan.model))
