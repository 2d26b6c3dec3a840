"""Which way each kind of rule is kept true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

from integrity.exceptions import WrongDeclaration

if TYPE_CHECKING:
    from integrity.enforcement.base import Enforcement
    from integrity.enforcement.noted import Noted
    from integrity.rules.base import Rule
    from integrity.rules.references import References


def enforcement_of(rule: Rule) -> Enforcement:
    """How the database keeps a rule true. Raises WrongDeclaration for a kind that it cannot keep."""
    # What is not used is not imported: django-pgtrigger need not be there for a constraint.
    match rule.kind:
        case "always":
            from integrity.enforcement.check import Check

            return Check(rule)
        case "unique":
            from integrity.enforcement.unique import UniqueIndex

            return UniqueIndex(rule)
        case "references":
            from integrity.enforcement.foreign_key import ForeignKey
            from integrity.enforcement.reference_triggers import ReferenceTriggers
            from integrity.enforcement.referring import is_foreign_key

            return ForeignKey(rule) if is_foreign_key(cast("References", rule)) else ReferenceTriggers(rule)
        case "derived":
            from integrity.enforcement.kept import Kept

            return Kept(rule)
        case "agrees":
            from integrity.enforcement.mirrored import Mirrored

            return Mirrored(rule)
    raise WrongDeclaration(f"the kind {rule.kind!r} is not enforced by the database", "Leave enforce= out.")


def enforced(rules: Iterable[Rule]) -> list[Enforcement]:
    """The ways of those rules that are declared to be enforced."""
    return [enforcement_of(rule) for rule in rules if rule.enforce]


def noting(rules: Iterable[Rule]) -> list[Noted]:
    """What notes the changes of those rules that are tracked."""
    tracked = [rule for rule in rules if rule.tracked]
    if not tracked:
        return []
    from integrity.enforcement.noted import Noted

    return [Noted(rule) for rule in tracked]
