"""Relink: references to rows that are gone are pointed at the right rows, by declared steps that give evidence."""

from integrity.repairs.relink.mapping import Mapping
from integrity.repairs.relink.named import Named
from integrity.repairs.relink.owned import Owned
from integrity.repairs.relink.relink import Relink
from integrity.repairs.relink.shift import Shift
from integrity.repairs.relink.step import Search, Step

__all__ = ["Mapping", "Named", "Owned", "Relink", "Search", "Shift", "Step"]
