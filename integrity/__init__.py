"""Holdtrue: what must always be true about data, declared once; analyzed, repaired, verified and undone."""

from integrity.expressions import Latest, PerKey
from integrity.repairs.adjust import Adjust
from integrity.repairs.clear import Clear
from integrity.repairs.copy import Copy
from integrity.repairs.keep_one import KeepOne
from integrity.repairs.merge import Merge
from integrity.repairs.quarantine import Quarantine
from integrity.repairs.rebuild import Rebuild
from integrity.repairs.recompute import Recompute
from integrity.repairs.relink import Mapping, Named, Owned, Relink, Search, Shift, Step
from integrity.repairs.trim import Trim
from integrity.rules.agrees import UNKNOWN, Agrees
from integrity.rules.always import Always
from integrity.rules.bounded import Bounded
from integrity.rules.derived import Derived
from integrity.rules.ordered import Ordered
from integrity.rules.references import References
from integrity.rules.unique import Unique
from integrity.schedules.automatic import Automatic

__all__ = [
    "UNKNOWN",
    "Adjust",
    "Agrees",
    "Always",
    "Automatic",
    "Bounded",
    "Clear",
    "Copy",
    "Derived",
    "KeepOne",
    "Latest",
    "Mapping",
    "Merge",
    "Named",
    "Ordered",
    "Owned",
    "PerKey",
    "Quarantine",
    "Rebuild",
    "Recompute",
    "References",
    "Relink",
    "Search",
    "Shift",
    "Step",
    "Trim",
    "Unique",
]
