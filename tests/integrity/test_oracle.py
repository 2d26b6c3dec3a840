"""No false negatives and no false positives: the engine against plain Python on random rows."""

import pytest
from django.db import IntegrityError, connection, transaction
from hypothesis import assume, given, reject, settings
from hypothesis import strategies as st

from integrity.engine import analyze
from integrity.look import keys_in
from integrity.repair import repair
from integrity.scope import Scope
from integrity.statement import compose, fetch, name, value
from integrity.touched import touched
from tests.integrity.helpers import registered
from tests.integrity.oracle import CASES, MODELS, make, rolled_back, violations, worlds

pytestmark = pytest.mark.django_db

random_rows = given(world=worlds, data=st.data())
few = settings(max_examples=8)
fewer = settings(max_examples=2)


def found(rule, scope=None):
    """What the engine finds: key -> (actual, expected)."""
    (column,) = rule.equals
    rows = fetch(connection, rule.violations(scope or Scope(), "default"))
    keyed = [tuple(row[f"key__{key.name}"] for key in rule.key_fields) for row in rows]
    assert len(set(keyed)) == len(keyed)
    return {key: (row[f"actual__{column}"], row[f"expected__{column}"]) for key, row in zip(keyed, rows, strict=True)}


def all_keys(rule):
    rows = fetch(connection, rule.rows(Scope(), "default"))
    return [tuple(row[f"key__{key.name}"] for key in rule.key_fields) for row in rows]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@few
@random_rows
def test_the_engine_finds_what_plain_python_finds(case, world, data):
    with rolled_back():
        make(world)
        right = violations(case)
        engine = found(case.rule)
        assert engine.keys() == right.keys()
        for key, (actual, expected) in right.items():
            assert engine[key] == (actual, pytest.approx(expected) if isinstance(expected, float) else expected)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@fewer
@random_rows
def test_scopes_of_keys_add_up_to_the_whole(case, world, data):
    with rolled_back():
        make(world)
        keys = all_keys(case.rule)
        here = [key for key in keys if data.draw(st.booleans())]
        there = [key for key in keys if key not in here]
        parts = [found(case.rule, Scope.of(part)) for part in (here, there)]
        assert set(parts[0]) <= set(here)
        assert parts[0] | parts[1] == found(case.rule)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@fewer
@random_rows
def test_windows_one_after_the_other_add_up_to_the_whole(case, world, data):
    with rolled_back():
        make(world)
        seen, scope, size = [], Scope(), data.draw(st.integers(1, 3))
        while True:
            keys, number, _ = keys_in(case.rule, scope, "default", size)
            seen += keys
            if number <= len(keys):
                break
            scope = scope.beyond(keys[-1])
        assert sorted(seen, key=str) == sorted(found(case.rule), key=str)


# A repair comes to rest

AUTOMATIC = {label: case for label, case in CASES.items() if case.rule.repairs}


@pytest.mark.parametrize("case", AUTOMATIC.values(), ids=AUTOMATIC)
@fewer
@random_rows
def test_after_a_repair_nothing_is_wrong_and_a_second_one_writes_nothing(case, world, data):
    with rolled_back(), registered(case.rule):
        make(world)
        wrong = len(violations(case))
        first, second = (repair([(case.rule, "recompute")]) for _ in range(2))
        # Rows that follow an empty table are never recomputed from nothing.
        assume(first.status != "refused")
        assert violations(case) == {}
        assert (first.status, second.status, second.changes) == ("clean", "clean", 0)
        assert first.changes >= wrong
        assert analyze([case.rule]).status == "clean"


# The keys that a write concerns

NARROW = {label: case for label, case in CASES.items() if not case.rule.reads_whole()}


def truth(rule):
    (column,) = rule.equals
    rows = fetch(connection, rule.rows(Scope(), "default"))
    return {
        tuple(row[f"key__{key.name}"] for key in rule.key_fields): (
            row[f"actual__{column}"],
            row[f"expected__{column}"],
        )
        for row in rows
    }


def keep(model, pks, temporary):
    """A copy of some rows, as an image of them."""
    columns = [field.column for field in model._meta.pk_fields]
    assert len(columns) == 1
    copy = compose(
        "CREATE TEMP TABLE {copy} ON COMMIT DROP AS SELECT * FROM {table} WHERE {pk}::text = ANY({pks})",
        copy=name(temporary),
        table=name(model._meta.db_table),
        pk=name(columns[0]),
        pks=value([str(pk) for pk in pks]),
    )
    with connection.cursor() as cursor:
        cursor.execute(copy.text, copy.params)
    return compose("SELECT * FROM {copy}", copy=name(temporary))


def keys_touched(rule, model, source):
    return {tuple(row.values()) for row in fetch(connection, touched(rule, model, source))}


def another(model, data):
    """A row that differs from an existing one in columns drawn from other rows: values, references and all."""
    rows = list(model._base_manager.all())
    row, donor = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(rows))
    fields = [f for f in model._meta.local_concrete_fields if not f.primary_key and not f.unique]
    for field in data.draw(st.lists(st.sampled_from(fields), unique=True, min_size=1)) if fields else []:
        setattr(row, field.attname, getattr(donor, field.attname))
        if field.get_internal_type() in {"IntegerField", "DecimalField", "FloatField"}:
            setattr(row, field.attname, data.draw(st.integers(0, 5)))
    return row


def write(model, row, delete):
    if delete:
        model._base_manager.filter(pk=row.pk)._raw_delete("default")
        return
    try:
        with transaction.atomic():
            row.save_base(raw=True, force_update=True)
    except IntegrityError:
        # Two rows of a table without twins were drawn the same.
        reject()


@pytest.mark.parametrize("case", NARROW.values(), ids=NARROW)
@few
@random_rows
def test_a_write_changes_the_truth_of_touched_keys_alone(case, world, data):
    rule = case.rule
    with rolled_back():
        make(world)
        tables = {model._meta.db_table for model in rule.reads()}
        models = [m for m in MODELS if m._meta.db_table in tables and m._base_manager.exists()]
        assume(models)
        model = data.draw(st.sampled_from(models))
        row = another(model, data)
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL DEFERRED")
        before, then = keep(model, [row.pk], "integrity_before"), truth(rule)
        expected = keys_touched(rule, model, before)
        write(model, row, delete=data.draw(st.booleans()))
        after, now = keep(model, [row.pk], "integrity_after"), truth(rule)
        expected |= keys_touched(rule, model, after)
        changed = {key for key in then.keys() | now.keys() if then.get(key) != now.get(key)}
        assert changed <= expected
        with connection.cursor() as cursor:
            cursor.execute("DROP TABLE integrity_before, integrity_after")


# The same for long

EVERYTHING = [
    test_the_engine_finds_what_plain_python_finds,
    test_scopes_of_keys_add_up_to_the_whole,
    test_windows_one_after_the_other_add_up_to_the_whole,
    test_after_a_repair_nothing_is_wrong_and_a_second_one_writes_nothing,
    test_a_write_changes_the_truth_of_touched_keys_alone,
]


@pytest.mark.soak
@pytest.mark.parametrize("label", CASES)
@pytest.mark.parametrize("behaviour", EVERYTHING, ids=lambda test: test.__name__)
def test_for_long(behaviour, label):
    if behaviour is EVERYTHING[-1] and label not in NARROW:
        pytest.skip("can only be checked whole")
    settings(max_examples=150)(random_rows(behaviour.hypothesis.inner_test))(case=CASES[label])
