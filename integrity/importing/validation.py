"""What is wrong with staged rows, found set-based: each problem with its line, field, value and reason."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import (
    DecimalValidator,
    MaxLengthValidator,
    MaxValueValidator,
    MinValueValidator,
    ProhibitNullCharactersValidator,
)

from integrity.importing.columns import Column, Reference, Value
from integrity.importing.rejects import Reject
from integrity.importing.staging import LINE, Staged
from integrity.statement import Part, Statement, compose, fetch, joined, name, run, value

_KNOWS_INPUT = 160000
"""From this version on PostgreSQL tells whether a text is a value, without an error."""
# The database itself refuses what these refuse.
_BUILT_IN = (DecimalValidator, MaxLengthValidator, ProhibitNullCharactersValidator)


@dataclass(frozen=True)
class _Check:
    """One thing that can be wrong with a field: ``wrong`` is a condition over ``s``."""

    field: str
    wrong: Statement
    reason: str
    clears: bool
    """The text is no value of its type, and must not be cast."""


def validate(staged: Staged) -> None:
    """Reject the rows that cannot be rows of the model, and clear the texts that are no values.

    A rejected row stays, marked: as long as its key can be read, its target is not taken for gone.
    """
    checks = list(_checks(staged))
    if checks:
        _reject(staged, checks)
    _run_validators(staged)


def _checks(staged: Staged) -> Iterator[_Check]:
    for part in staged.feed.by_field.values():
        in_key = part.name in staged.feed.key
        if isinstance(part, Column):
            # An empty text can be part of a key, and stands for nothing where the column has no NULL; NULL cannot.
            required = not part.value.nullable or (in_key and part.field.null)
            yield from _value_checks(staged, part.source, part.value, required=required)
        else:
            yield from _reference_checks(staged, part, required=in_key or not part.field.null)


def _reference_checks(staged: Staged, part: Reference, *, required: bool) -> Iterator[_Check]:
    telling = staged.feed.telling(part)
    nothing = joined(" AND ", (compose("{raw} IS NULL", raw=staged.raw(source)) for source in telling))
    for source, held in part.values().items():
        raw = staged.raw(source)
        absent = compose("{raw} IS NULL", raw=raw)
        if not required:
            # All parts or none: half a key names nothing.
            absent = compose("{absent} AND NOT ({nothing})", absent=absent, nothing=nothing)
        yield _Check(source, absent, f"is missing, and {part.name} needs it", clears=False)
        if not held.is_text:
            yield _Check(source, _not_valid(staged, raw, held.type), f"is no {_called(held.type)}", clears=True)


def _value_checks(staged: Staged, source: str, held: Value, *, required: bool) -> Iterator[_Check]:
    raw, field = staged.raw(source), held.field
    if required:
        yield _Check(source, compose("{raw} IS NULL", raw=raw), "is missing", clears=False)
    if not held.is_text:
        yield _Check(source, _not_valid(staged, raw, held.type), f"is no {_called(held.type)}", clears=True)
        if held.type.startswith("numeric"):
            places = f"has more than {field.decimal_places} decimals"
            yield _Check(source, _rounded(staged, raw, field), places, clears=True)
        return
    if field.max_length is not None:
        long = compose("char_length({raw}) > {most}", raw=raw, most=value(field.max_length))
        yield _Check(source, long, f"is longer than {field.max_length} characters", clears=True)
    if required and not field.blank:
        yield _Check(source, compose("{raw} = ''", raw=raw), "is empty", clears=False)
    if field.choices:
        known = [str(choice) for choice, _ in field.flatchoices]
        other = compose("NOT {raw} = ANY({known})", raw=raw, known=value([*known, *([""] if field.blank else [])]))
        yield _Check(source, other, f"is none of {', '.join(known)}", clears=False)


def _not_valid(staged: Staged, raw: Statement, type_: str) -> Statement:
    """Not what PostgreSQL reads as the type; nor words such as 'today', which mean something else each day."""
    function = "pg_input_is_valid" if staged.connection.pg_version >= _KNOWS_INPUT else _own_function(staged.connection)
    wrong = compose("NOT {function}({raw}, {type})", function=Statement(function), raw=raw, type=value(type_))
    if type_.startswith(("date", "time")):
        wrong = compose("({wrong} OR {raw} !~ '^[0-9]')", wrong=wrong, raw=raw)
    elif type_.startswith(("numeric", "double", "real")):
        wrong = compose("({wrong} OR {raw} !~ '[0-9]')", wrong=wrong, raw=raw)
    return compose("({raw} IS NOT NULL AND {wrong})", raw=raw, wrong=wrong)


def _rounded(staged: Staged, raw: Statement, field: Any) -> Statement:
    """Stored, it would be another number."""
    return compose(
        "(CASE WHEN {wrong} THEN false ELSE {raw}::numeric <> round({raw}::numeric, {places}) END)",
        wrong=_not_valid(staged, raw, field.db_type(staged.connection)),
        raw=raw,
        places=value(field.decimal_places),
    )


def _own_function(connection: Any) -> str:
    """The same for PostgreSQL 15, which tells by an error alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE OR REPLACE FUNCTION pg_temp.integrity_is_valid(given text, wanted text) RETURNS boolean"
            " LANGUAGE plpgsql AS $is_valid$ BEGIN EXECUTE format('SELECT %%L::%%s', given, wanted); RETURN true;"
            " EXCEPTION WHEN data_exception THEN RETURN false; END $is_valid$",
            (),
        )
    return "pg_temp.integrity_is_valid"


def _called(type_: str) -> str:
    return {
        "timestamp with time zone": "time such as 2030-01-31T12:00:00Z",
        "date": "date such as 2030-01-31",
        "time": "time of day such as 18:30",
        "boolean": "true or false",
        "double precision": "number",
        "jsonb": "JSON",
    }.get(type_, "whole number" if type_.endswith(("int", "integer")) else type_)


def _reject(staged: Staged, checks: Sequence[_Check]) -> None:
    any_wrong = joined(" OR ", (check.wrong for check in checks))
    told = [
        compose(
            "({field}, {raw}, CASE WHEN {wrong} THEN {reason} END)",
            field=value(check.field),
            raw=staged.raw(check.field),
            wrong=check.wrong,
            reason=value(check.reason),
        )
        for check in checks
    ]
    found = fetch(
        staged.connection,
        compose(
            "SELECT s.nr, {line} AS line, k.field, k.held, k.reason"
            " FROM (SELECT * FROM {staged} AS s WHERE {any} ORDER BY nr LIMIT {most}) AS s,"
            " LATERAL (VALUES {told}) AS k (field, held, reason) WHERE k.reason IS NOT NULL ORDER BY s.nr",
            line=LINE,
            staged=staged.relation,
            any=any_wrong,
            most=value(staged.rejects.budget + 1),
            told=joined(", ", told),
        ),
    )
    if not found:
        return
    label, seen = staged.feed.label, set()
    for row in found:
        if (row["nr"], row["field"]) not in seen:
            seen.add((row["nr"], row["field"]))
            held = row["held"]
            staged.rejects.add(
                Reject(
                    label, staged.file, row["nr"], row["line"], row["field"], held and held[:500], str(row["reason"])
                )
            )
    clearing: dict[str, list[Statement]] = {}
    for check in checks:
        if check.clears:
            clearing.setdefault(check.field, []).append(check.wrong)
    sets: list[Part] = [Statement("bad = true")]
    sets += [
        compose(
            "{column} = CASE WHEN {wrong} THEN NULL ELSE {raw} END",
            column=name(staged.column(field)),
            wrong=joined(" OR ", wrong),
            raw=staged.raw(field),
        )
        for field, wrong in clearing.items()
    ]
    run(
        staged.connection,
        compose(
            "UPDATE {staged} AS s SET {sets} WHERE {any}",
            staged=staged.relation,
            sets=joined(", ", sets),
            any=any_wrong,
        ),
    )
    keys = [source for part in staged.feed.key_parts for source in part.sources]
    nameless = joined(" OR ", (compose("{raw} IS NULL", raw=staged.raw(source)) for source in keys))
    unknown = compose("SELECT count(*) AS n FROM {s} AS s WHERE bad AND ({no})", s=staged.relation, no=nameless)
    staged.unknown += fetch(staged.connection, unknown)[0]["n"]


# What a field's own validators say


def _run_validators(staged: Staged) -> None:
    """Validators of the app, over distinct values; those that only repeat what the type says are left out."""
    for column in staged.feed.columns:
        validators = [v for v in column.value.field.validators if not isinstance(v, _BUILT_IN) and not _is_range(v)]
        if not validators:
            continue
        distinct = compose(
            "SELECT DISTINCT {raw} AS held FROM {staged} AS s WHERE {raw} IS NOT NULL AND {raw} <> '' AND NOT bad",
            raw=staged.raw(column.source),
            staged=staged.relation,
        )
        wrong: dict[str, str] = {}
        for row in fetch(staged.connection, distinct):
            try:
                column.value.field.run_validators(column.value.field.to_python(row["held"]))
            except ValidationError as error:
                wrong[row["held"]] = " ".join(error.messages)
        if wrong:
            _reject_values(staged, column, wrong)


def _is_range(validator: Any) -> bool:
    """The range of an integer's type, which Django declares as validators too."""
    return isinstance(validator, MinValueValidator | MaxValueValidator) and abs(int(validator.limit_value)) >= 32767


def _reject_values(staged: Staged, column: Column, wrong: dict[str, str]) -> None:
    found = fetch(
        staged.connection,
        compose(
            "UPDATE {staged} AS s SET bad = true WHERE {raw} = ANY({wrong})"
            " RETURNING s.nr, {line} AS line, {raw} AS held",
            line=LINE,
            staged=staged.relation,
            raw=staged.raw(column.source),
            wrong=value(list(wrong)),
        ),
    )
    for row in sorted(found, key=lambda row: int(row["nr"])):
        staged.rejects.add(
            Reject(
                staged.feed.label,
                staged.file,
                row["nr"],
                row["line"],
                column.source,
                row["held"][:500],
                wrong[row["held"]],
            )
        )
