"""Which columns refer to which, and whether a foreign key can say it."""

from __future__ import annotations

from collections.abc import Iterator

from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of
from integrity.paths import resolve
from integrity.rules.own_row import own_row_problems
from integrity.rules.references import References, type_of


def pairs(rule: References) -> list[tuple[str, str]]:
    """Columns of the row and those of the target that they equal, those that agree at the end."""
    assert rule.to is not None
    found = [(column, resolve(rule.to, on).field.column) for column, on in zip(rule.columns, rule.on, strict=True)]
    found += [(column, column_of(rule.to, target)) for column, target in rule.agreeing.items()]
    return [(column_of(rule.model, column), target) for column, target in found]


def is_foreign_key(rule: References) -> bool:
    """True for what a foreign key says exactly, as far as the declarations tell."""
    if rule.to is None or rule.where or rule.among:
        return False
    targets = [*rule.on, *rule.agreeing.values()]
    columns = [*rule.columns, *rule.agreeing]
    alike = all(
        type_of(resolve(rule.model, column).field) == type_of(resolve(rule.to, target).field)
        for column, target in zip(columns, targets, strict=True)
    )
    # A NULL part refers to nothing, and one that must agree may be no such part.
    agree = all(not resolve(rule.model, column).field.null for column in rule.agreeing)
    return alike and agree and (not rule.agreeing or is_unique(rule))


def is_unique(rule: References) -> bool:
    """True when the target declares its columns unique."""
    assert rule.to is not None
    opts, wanted = rule.to._meta, {target for _, target in pairs(rule)}
    declared = [[field.column] for field in opts.local_concrete_fields if field.unique]
    declared.append([field.column for field in opts.pk_fields])
    together = [*opts.unique_together, *(constraint.fields for constraint in opts.total_unique_constraints)]
    declared += [[column_of(rule.to, field) for field in fields] for fields in together]
    return any({*columns} == wanted for columns in declared)


def reference_problems(rule: References) -> Iterator[WrongDeclaration]:
    """Why the database cannot keep it."""
    if rule.generic is not None and not rule.types:
        yield WrongDeclaration(
            "its rows may refer to any model, and every table would need triggers",
            "List the models that they may be of: to=[...].",
        )
        return
    yield from own_row_problems(rule.model, rule.where)
    if rule.to is None:
        return
    yield from own_row_problems(rule.to, rule.among)
    for column in (*rule.on, *rule.agreeing.values()):
        field = resolve(rule.to, column).field
        if field not in rule.to._meta.local_fields:
            yield WrongDeclaration(
                f"{column!r} stands in another table, that of {field.model._meta.label}",
                f"Let it refer to {field.model._meta.label}.",
            )
            return
    if is_foreign_key(rule) and not is_unique(rule):
        targets = ", ".join(target for _, target in pairs(rule))
        yield WrongDeclaration(
            f"a foreign key refers to unique columns, and {rule.to._meta.label} does not declare {targets} as such",
            f"Give {rule.to._meta.label} a UniqueConstraint, or a Unique rule with enforce=True.",
        )
