"""Holdtrue: what must always be true about data, declared once; analyzed, repaired, verified and undone."""

from integrity.expressions import Latest, PerKey
from integrity.repairs.adjust import Adjust
from integrity.repairs.recompute import Recompute
from integrity.repairs.trim import Trim
from integrity.rules.always import Always
from integrity.rules.derived import Derived
from integrity.rules.ordered import Ordered

__all__ = ["Adjust", "Always", "Derived", "Latest", "Ordered", "PerKey", "Recompute", "Trim"]
