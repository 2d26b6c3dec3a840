"""What the database does for a rule now: declared against installed, read from the catalog each time."""

from __future__ import annotations

from collections.abc import Iterable

from django.db import DEFAULT_DB_ALIAS, transaction

from integrity.enforcement.base import ENFORCED, GUARDED, Found
from integrity.enforcement.ways import enforced, enforcement_of, noting
from integrity.exceptions import Refused
from integrity.models import Enforcement
from integrity.reports import States
from integrity.rules.base import Rule


def state(rule: Rule, using: str = DEFAULT_DB_ALIAS) -> str:
    """The word alone; empty for a rule that is not declared with ``enforce=True``."""
    return found(rule, using).state if rule.enforce else ""


def tracking(rule: Rule, using: str = DEFAULT_DB_ALIAS) -> str:
    """Whether what changes is noted now: tracked, missing, outdated or disabled; empty where it is not to be."""
    for way in noting([rule]):
        installed = way.found(using).state
        return "tracked" if installed == GUARDED else installed
    return ""


def states(rule: Rule, using: str = DEFAULT_DB_ALIAS) -> States:
    """Both words, and why it is not enforced."""
    installed, why = found(rule, using) if rule.enforce else ("", "")
    return States(installed, tracking(rule, using), why)


def found(rule: Rule, using: str = DEFAULT_DB_ALIAS) -> Found:
    """What the database does for a rule that is to be enforced, and why where that needs words."""
    way = enforcement_of(rule)
    with transaction.atomic(using=using):
        installed = way.found(using)
    if not way.recorded or installed.state != GUARDED:
        return installed
    proven = Enforcement.objects.filter(rule=rule.label, database=using, version=way.version()).exists()
    return Found(ENFORCED) if proven else installed


def kept_columns(rules: Iterable[Rule], table: str) -> set[str]:
    """Columns of a table that triggers keep true now: an undo recomputes them instead of restoring them."""
    return {
        column
        for way in enforced(rules)
        if way.writes and way.rule.model._meta.db_table == table and state(way.rule) in (GUARDED, ENFORCED)
        for column in way.kept_columns()
    }


def refuse_while_mirrored(rules: Iterable[Rule], tables: Iterable[str]) -> None:
    """Raise Refused where triggers would bring what is put back into one of these tables to the other one."""
    written = set(tables)
    for way in enforced(rules):
        roots = {model._meta.db_table for model in way.rule.roots()}
        if way.mirrors and written & roots and way.remove(DEFAULT_DB_ALIAS):
            raise Refused(
                f"Triggers bring what is put back to the other table of {way.rule.label}. Nothing was written. Take"
                f" them away first: manage.py integrity enforce {way.rule.label} --remove"
            )
