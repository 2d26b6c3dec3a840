"""What the database does for a rule now: declared against installed, read from the catalog each time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from integrity.enforcement.check import check_state
from integrity.keys import column_of
from integrity.models import Enforcement
from integrity.rules.always import Always
from integrity.rules.base import Rule
from integrity.rules.derived import Derived
from integrity.statement import Statement, compose, fetch

MISSING, GUARDED, ENFORCED, OUTDATED, DISABLED = "missing", "guarded", "enforced", "outdated", "disabled"


def state(rule: Rule, using: str = DEFAULT_DB_ALIAS) -> str:
    """What the database does for a rule now; empty for one that is not declared with ``enforce=True``."""
    if not rule.enforce:
        return ""
    with transaction.atomic(using=using):
        if isinstance(rule, Always):
            return check_state(rule, using)
        assert isinstance(rule, Derived)
        found = _trigger_state(rule, using)
    if found != GUARDED:
        return found
    proven = Enforcement.objects.filter(rule=rule.label, database=using, version=version(rule)).exists()
    return ENFORCED if proven else GUARDED


def kept_columns(rules: Iterable[Rule], table: str) -> set[str]:
    """Columns of a table that triggers keep true now: an undo recomputes them instead of restoring them."""
    return {
        column_of(rule.model, field)
        for rule in rules
        if rule.enforce and isinstance(rule, Derived) and rule.model._meta.db_table == table
        if state(rule) in (GUARDED, ENFORCED)
        for field in (*rule.equals, *rule.stamps)
    }


def version(rule: Derived) -> str:
    """A hash over all triggers of the rule as declared."""
    from integrity.enforcement.triggers import triggers_of

    hashes = [trigger.compile(model).hash for model, trigger in triggers_of(rule)]
    return hashlib.sha256("".join(sorted(hashes)).encode()).hexdigest()


def _trigger_state(rule: Derived, using: str) -> str:
    """The worst of the rule's triggers: not there, otherwise than declared (by hash or by text), switched off."""
    from integrity.enforcement.triggers import triggers_of

    found = [_one_trigger(model, trigger, connections[using]) for model, trigger in triggers_of(rule)]
    return next(state for state in (MISSING, OUTDATED, DISABLED, GUARDED) if state in found)


def _one_trigger(model: Any, trigger: Any, connection: Any) -> str:
    declared = trigger.compile(model)
    rows = fetch(
        connection,
        compose(
            "SELECT obj_description(t.oid) AS hash, tgenabled AS enabled, p.prosrc AS source,"
            " prosecdef AND EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c LIKE 'search_path=%%') AS secured"
            " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
            " WHERE tgrelid = to_regclass({table}) AND tgname = {name}",
            table=Statement("quote_ident(%s)", (model._meta.db_table,)),
            name=Statement("%s", (trigger.get_pgid(model),)),
        ),
    )
    if not rows:
        return MISSING
    (found,) = rows
    if found["hash"] != declared.hash or found["source"].strip() not in str(declared.sql) or not found["secured"]:
        return OUTDATED
    # Disabled, or fired on a replica alone.
    return DISABLED if found["enabled"] in ("D", "R") else GUARDED
