"""The phases of the consolidation as migrations carry them out, over the models that they have.

A fresh database has nothing to copy and nothing to point elsewhere, records no run, and asks nothing of the engine's
tables. With rows they must be up to date.
"""

from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction

from integrity import statuses
from integrity.consolidate import consolidate, copy_is_in_effect, references_are_in_effect
from integrity.consolidation.own_keys import let_go
from integrity.consolidation.retiring import (
    bring_back,
    keep_equal,
    keep_equal_no_longer,
    prove,
    retire,
    retired_name,
    told,
)
from integrity.consolidation.typed import is_referred_to
from integrity.current import require_current_tables
from integrity.exceptions import EngineError, Refused
from integrity.look import look
from integrity.reports import Report, RuleReport
from integrity.rules.agrees import Agrees
from integrity.schema import is_retired
from integrity.scope import Scope
from stats.consolidation import agreement, legacy_level

ACTOR = "migrate"
SHOWN = 20
PATIENCE = 10
"""Seconds for which tables that somebody holds are waited for."""


class NotConsolidated(EngineError):
    """A migration that would lose or contradict something. It says what, row by row; nothing was changed."""


def copy(apps: Any, editor: Any) -> None:
    """Keep both tables equal from now on, and bring over what the old one has."""
    rule = _rule(apps, editor)
    if rule is None:
        return
    if not any(model._base_manager.exists() for model in (rule.model, rule.other)):
        keep_equal(rule)
        return
    require_current_tables()
    first = [(legacy_level(rule.other), "recompute")]
    _require(
        rule,
        consolidate(
            rule, "copy", strategy="newest", first=first, actor=ACTOR, reason="stats.0003_consolidate_core_stats_data"
        ),
    )


def take_copy_back(apps: Any, editor: Any) -> None:
    """What was copied goes again; what was changed since stays, equal in both tables."""
    rule = _rule(apps, editor)
    if rule is None:
        return
    first = [(legacy_level(rule.other), "recompute")]
    if copy_is_in_effect(rule, first):
        require_current_tables("manage.py migrate stats 0002, before anything of integrity goes back")
        report = consolidate(rule, "rollback", first=first, actor=ACTOR, reason="stats.0003 backwards")
        if report.status not in (statuses.CLEAN, statuses.PARTIAL):
            _require(rule, report)
    keep_equal_no_longer(rule)


def refuse_to_lose(apps: Any, editor: Any) -> None:
    """Before the new table goes: the old one must say everything that it says."""
    rule = _rule(apps, editor)
    if rule is None:
        return
    found = RuleReport(rule.label)
    look(rule, Scope(), DEFAULT_DB_ALIAS, found)
    if found.counts["modified"] or found.counts["only_left"]:
        raise NotConsolidated(
            _text(f"{rule.model._meta.db_table} says what {rule.other._meta.db_table} does not.", told(rule, found))
        )


def point_references(apps: Any, editor: Any) -> None:
    """Foreign keys, generic relations, content types and permissions follow the rows."""
    rule = _rule(apps, editor)
    if rule is not None and is_referred_to(rule, editor.connection):
        require_current_tables()
        _require(
            rule, consolidate(rule, "references", actor=ACTOR, reason="stats.0004_remove_old_core_stats_references")
        )


def point_references_back(apps: Any, editor: Any) -> None:
    """The same the other way round."""
    rule = _rule(apps, editor)
    if rule is not None and references_are_in_effect(rule):
        require_current_tables("manage.py migrate stats 0003, before anything of integrity goes back")
        report = consolidate(rule, "rollback", actor=ACTOR, reason="stats.0004 backwards")
        if report.status not in (statuses.CLEAN, statuses.PARTIAL):
            _require(rule, report)


def retire_legacy(apps: Any, editor: Any) -> None:
    """Prove that every row agrees, and give the table another name, in the transaction of the migration."""
    if editor.connection.alias != DEFAULT_DB_ALIAS:
        return
    rule = _agreement(apps)
    found = RuleReport(rule.label)
    with transaction.atomic(), editor.connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{PATIENCE * 1000}ms"])
        if not is_retired(rule, DEFAULT_DB_ALIAS):
            try:
                prove(rule, found, seconds=PATIENCE)
            except Refused as refused:
                raise NotConsolidated(_text(str(refused), told(rule, found))) from refused
            retire(rule)
        let_go(retired_name(rule), editor.connection)


def bring_legacy_back(apps: Any, editor: Any) -> None:
    """The table with every byte that it had; from now on both are kept equal again."""
    if editor.connection.alias == DEFAULT_DB_ALIAS:
        rule = _agreement(apps)
        if is_retired(rule, DEFAULT_DB_ALIAS):
            bring_back(rule)


def _rule(apps: Any, editor: Any) -> Agrees | None:
    """The rule over the models of a migration; None where there is nothing to do.

    That is a database that the engine does not repair, and one whose old table the command has put aside already.
    """
    if editor.connection.alias != DEFAULT_DB_ALIAS:
        return None
    rule = _agreement(apps)
    return None if is_retired(rule, DEFAULT_DB_ALIAS) else rule


def _agreement(apps: Any) -> Agrees:
    return agreement(apps.get_model("stats", "CoreStat"), apps.get_model("core_stats", "LegacyCoreStat"))


def _require(rule: Agrees, report: Report) -> None:
    if report.exit_code:
        last = report.rules[-1]
        errors = [result.error for result in report.rules if result.error] or [f"The phase ended {report.status}."]
        lines = [*last.reasons, *(told(rule, last) if last.rule == rule.label else [])]
        raise NotConsolidated(_text(" ".join(errors), lines))


def _text(summary: str, lines: list[str]) -> str:
    return "\n  ".join([summary, *lines[:SHOWN]])
