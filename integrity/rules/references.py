"""References: every reference leads to a row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Case, CharField, Exists, F, Model, OuterRef, Q, QuerySet, TextField, Value, When
from django.db.models.functions import Cast

from integrity.compiler import select
from integrity.exceptions import WrongDeclaration
from integrity.keys import column_of, columns_of, own_field
from integrity.paths import Hop, Path, lookups, resolve
from integrity.rules.base import Rule
from integrity.scope import Scope
from integrity.statement import Statement


class JoinedBy(NamedTuple):
    """A reference that no foreign key declares, where a hop names its foreign key."""

    column: str
    attname: str
    target_field: Any


class References(Rule):
    """``References(Poll, "team_id", to=Team, ...)``: a foreign key, a plain number, a natural key, a (type, id) pair.

    column: the column that refers, or several of a natural key, which then refer to ``on`` of the target. to: the model
    referred to; left out for a foreign key. With the name of a GenericForeignKey ``to`` lists the models that its rows
    may be of; left out they may be of any. among: which rows of the target count. agreeing: column of the row -> column
    of the target that must be equal too, for references that are valid but wrong. A reference with a NULL part refers
    to nothing and is no violation.
    """

    kind = "references"
    needs_other_rows: ClassVar[bool] = False

    def __init__(
        self,
        model: type[Model],
        column: str | Sequence[str],
        *,
        to: type[Model] | Sequence[type[Model]] | None = None,
        on: Sequence[str] | None = None,
        among: Q | None = None,
        agreeing: Mapping[str, str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.columns = [_stored(model, part) for part in ([column] if isinstance(column, str) else column)]
        self.generic = next(
            (f for f in model._meta.private_fields if f.name == column and hasattr(f, "ct_field")), None
        )
        self.types = () if to is None or isinstance(to, type) else tuple(to)
        self.to = to if isinstance(to, type) else None if self.types else self._target_of_foreign_key()
        if self.generic is not None and self.to is not None:
            self.types, self.to = (self.to,), None
        self.among = among
        self.on = list(on) if on is not None else ["pk"] * len(self.columns)
        self.agreeing = dict(agreeing or {})
        if self.generic is not None:
            self.columns = [_stored(model, self.generic.ct_field), self.generic.fk_field]

    def violations(self, scope: Scope, using: str) -> Statement:
        columns: dict[str, Any] = {f"key__{key.name}": F(key.name) for key in columns_of(self.model)}
        columns |= {f"actual__{column}": F(column) for column in self.columns}
        columns |= {f"actual__{column}": F(column) for column in self.agreeing}
        columns["expected__reference"] = Value(self._wanted(), output_field=TextField())
        if self.agreeing:
            columns["evidence__why"] = Case(
                When(Exists(self._target()), then=Value("valid but wrong")),
                default=Value("gone"),
                output_field=CharField(),
            )
        return select(self.model, columns, using=using, where=self._where(), scope=scope)

    def rows(self) -> QuerySet[Any, Any]:
        """The rows that break the rule."""
        return self.model._base_manager.filter(self._where())

    def stands_on(self) -> set[type[Model]]:
        return {*self.types} if self.to is None else {self.to}

    def paths(self) -> list[Path]:
        own = [resolve(self.model, column) for column in (*self.columns, *self.agreeing)]
        return own if self.to is None else [*own, *self._to_target(self.to)]

    def expressions(self) -> list[Any]:
        return [self.where, self.among]

    def reads_whole(self) -> tuple[type[Model], ...]:
        return tuple(self._models()) if self.generic is not None else ()

    @property
    def divisible(self) -> bool:
        return not self.reads_whole()

    def problems(self) -> Iterable[WrongDeclaration]:
        if self.generic is None and self.types:
            yield WrongDeclaration(
                f"to= lists models, and {', '.join(self.columns)} does not say which of them a row is of",
                "Name the GenericForeignKey, or one model.",
            )
            return
        if self.generic is not None and self.among is not None:
            yield WrongDeclaration(
                f"among= speaks about rows of one model, and {self.generic.name!r} may be of several",
                "Leave among= out.",
            )
            return
        if self.to is None and self.generic is None:
            yield WrongDeclaration(
                f"{', '.join(self.columns)} is neither a foreign key nor a generic one, so that it refers to nothing",
                "Say what it refers to: to=Model.",
            )
            return
        for column in (*self.columns, *self.agreeing):
            if resolve(self.model, column).field.model is not self.model:
                yield WrongDeclaration(f"{column!r} is not a column of {self.model._meta.label}")
        if self.to is not None:
            yield from self._target_problems(self.to)

    def _target_problems(self, to: type[Model]) -> Iterable[WrongDeclaration]:
        if len(self.on) != len(self.columns) or (len(self.columns) > 1 and "pk" in self.on):
            yield WrongDeclaration(
                f"{', '.join(self.columns)} and on= {', '.join(self.on)} do not pair",
                "Name a column of the target for each.",
            )
        for column in (*self.on, *self.agreeing.values(), *lookups(self.among or Q())):
            try:
                path = resolve(to, column)
            except WrongDeclaration as problem:
                yield problem
            else:
                if path.hops and path.rest != ("pk",):
                    yield WrongDeclaration(
                        f"{column!r} is not a column of {to._meta.label}", "among= reads the row referred to alone."
                    )

    def enforcement_problems(self) -> Iterable[WrongDeclaration]:
        from integrity.enforcement.referring import reference_problems

        return reference_problems(self)

    # The condition

    def _where(self) -> Q:
        referring = Q(*(Q(**{f"{column}__isnull": False}) for column in self.columns))
        agree = {target: OuterRef(column) for column, target in self.agreeing.items()}
        found = self._found() if self.generic is not None else Exists(self._target().filter(**agree))
        return (self.where or Q()) & referring & ~Q(found)

    def _target(self) -> QuerySet[Any, Any]:
        """The row referred to, seen from the referring one."""
        assert self.to is not None
        rows = self.to._base_manager.filter(self.among or Q())
        for position, (on, column) in enumerate(zip(self.on, self.columns, strict=True)):
            if type_of(resolve(self.to, on).field) == type_of(resolve(self.model, column).field):
                rows = rows.filter(**{on: OuterRef(column)})
            else:
                alias = f"integrity_on_{position}"
                rows = rows.alias(**{alias: Cast(on, TextField())})
                rows = rows.filter(**{alias: Cast(OuterRef(column), TextField())})
        return rows

    def _found(self) -> Any:
        """For a (type, id) pair: the row exists in the table of its type."""
        assert self.generic is not None
        type_, id_ = self.generic.ct_field, self.generic.fk_field
        found = Q(pk__in=[])
        for model in self._models():
            rows = model._base_manager.annotate(integrity_id=Cast("pk", TextField()))
            exists = Exists(rows.filter(integrity_id=Cast(OuterRef(id_), TextField())))
            label = {f"{type_}__app_label": model._meta.app_label, f"{type_}__model": model._meta.model_name}
            found |= Q(**label) & Q(exists)
        return found

    def _models(self) -> Sequence[type[Model]]:
        return self.types or [
            m for m in apps.get_models(include_auto_created=True) if m._meta.managed and len(columns_of(m)) == 1
        ]

    def _target_of_foreign_key(self) -> type[Model] | None:
        try:
            field = self.model._meta.get_field(self.columns[0])
        except FieldDoesNotExist:
            return None
        return field.related_model if field.many_to_one or field.one_to_one else None

    def _wanted(self) -> str:
        if self.types:
            return f"a row of {' or '.join(model._meta.label for model in self.types)}"
        if self.to is None:
            return "a row of its type"
        agreeing = f" with the same {', '.join(self.agreeing.values())}" if self.agreeing else ""
        return f"a row of {self.to._meta.label}{agreeing}"

    def _to_target(self, to: type[Model]) -> list[Path]:
        """The way to the target, which no relation need declare: a row that goes concerns those that refer to it."""
        column = column_of(self.model, self.columns[0])
        target = columns_of(to)[0] if self.on[0] == "pk" else to._meta.get_field(self.on[0])
        joined_by: Any = JoinedBy(column, column, target)
        hop = Hop(self.columns[0], self.model, to, forward=True, many=False, field=joined_by)
        read = (*self.agreeing.values(), *lookups(self.among or Q()))
        ends = [target, *(own_field(to, lookup) for lookup in read)]
        return [Path(self.model, self.columns[0], (hop,), end, (end.name,)) for end in ends]


INTEGERS = {"IntegerField", "SmallIntegerField", "BigIntegerField"}
INTEGERS |= {f"Positive{integer}" for integer in INTEGERS} | {"AutoField", "SmallAutoField", "BigAutoField"}
TEXTS = {"CharField", "TextField", "SlugField", "EmailField", "URLField"}


def type_of(field: Any) -> str:
    """What a value is compared as: fields of one answer compare by themselves, others as text."""
    while getattr(field, "remote_field", None) is not None:
        field = field.target_field
    kind = str(field.get_internal_type())
    return "integer" if kind in INTEGERS else "text" if kind in TEXTS else kind


def _stored(model: type[Model], column: str) -> str:
    """The name of the stored value: ``team_id`` for the foreign key ``team``."""
    try:
        return str(getattr(model._meta.get_field(column), "attname", column))
    except FieldDoesNotExist:
        return column
