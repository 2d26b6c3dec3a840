"""Holdtrue: what must always be true about data, declared once; analyzed, repaired, verified and undone."""

from integrity.expressions import Latest, PerKey
from integrity.repairs.recompute import Recompute
from integrity.rules.always import Always
from integrity.rules.derived import Derived

__all__ = ["Always", "Derived", "Latest", "PerKey", "Recompute"]
