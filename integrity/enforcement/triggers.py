"""Triggers as django-pgtrigger knows them: in migrations, with a hash that tells declared from installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pgtrigger
from pgtrigger import compiler

from integrity.enforcement.body import body, declarations, ways_to
from integrity.enforcement.names import NEW, OLD, shortened

if TYPE_CHECKING:
    from integrity.rules.base import Rule
    from integrity.rules.derived import Derived

Referencing: Any = pgtrigger.Referencing
EVENTS: dict[str, tuple[pgtrigger.Operation, Any]] = {
    "insert": (pgtrigger.Insert, Referencing(new=NEW)),
    "update": (pgtrigger.Update, Referencing(old=OLD, new=NEW)),
    "delete": (pgtrigger.Delete, Referencing(old=OLD)),
    "truncate": (pgtrigger.Truncate, None),
}


class KeepSql(compiler.UpsertTriggerSql):
    """The function as its owner, with a search path of its own: a writer's path, role or temporary tables change
    nothing. Referred to by migrations: never edit the template, add a new class.
    """

    def get_template(self) -> str:
        """The statements that install the trigger."""
        return """
            SELECT set_config('integrity.search_path', current_setting('search_path'), true),
                set_config('search_path', quote_ident(current_schema()) || ', pg_temp', true);

            CREATE OR REPLACE FUNCTION {pgid}() RETURNS TRIGGER
                LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT
                SET plan_cache_mode = force_generic_plan AS $keep$
                {declare}
                BEGIN
                    {func}
                END;
            $keep$;
            REVOKE ALL ON FUNCTION {pgid}() FROM PUBLIC;

            DROP TRIGGER IF EXISTS {pgid} ON {table};
            CREATE TRIGGER {pgid}
                {when} {operation} ON {table}
                {referencing}
                FOR EACH {level}
                EXECUTE FUNCTION {execute};

            COMMENT ON TRIGGER {pgid} ON {table} IS '{hash}';
            SELECT set_config('search_path', current_setting('integrity.search_path'), true);
        """


class KeepTrigger(compiler.Trigger):
    """What a migration adds and takes away again: the trigger and its function."""

    @property
    def uninstall_sql(self) -> str:
        """The statements that leave nothing behind."""
        return f"{super().uninstall_sql} DROP FUNCTION IF EXISTS {self.sql.pgid}();"


class Keep(pgtrigger.Trigger):
    """Keeps a Derived rule true after one kind of statement on one table."""

    level = pgtrigger.Statement
    when = pgtrigger.After

    def __init__(self, rule: Derived, event: str) -> None:
        self.rule, self.event = rule, event
        operation, referencing = EVENTS[event]
        super().__init__(name=trigger_name(rule, event), operation=operation, referencing=referencing)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """The variables of the function."""
        return declarations(self.rule)

    def get_func(self, model: Any) -> str:
        """The body of the function."""
        return body(self.rule, model, self.event)

    def compile(self, model: Any) -> compiler.Trigger:
        """The frozen form that a migration holds."""
        sql = KeepSql(
            pgid=self.get_pgid(model),
            declare=self.render_declare(model),
            func=self.render_func(model),
            table=model._meta.db_table,
            when=self.when,
            operation=self.operation,
            referencing=self.referencing or "",
            level=self.level,
            execute=self.render_execute(model),
        )
        return KeepTrigger(name=self.name, sql=sql)


def trigger_name(rule: Rule, event: str) -> str:
    """A name of at most 47 characters that is unique for the rule and the event."""
    return f"{shortened(f'{rule.app}_{rule.name}', 37)}_{event}"


def triggers_of(rule: Derived) -> list[tuple[Any, Keep]]:
    """Every trigger that the rule needs: four on each related table, two on its own where it reads itself."""
    found = [
        (model, Keep(rule, event))
        for model in sorted(_related(rule), key=lambda model: model._meta.db_table)
        for event in EVENTS
    ]
    own = [event for event in ("insert", "update") if (rule.model, event) not in {(m, k.event) for m, k in found}]
    return found + [(rule.model, Keep(rule, event)) for event in own]


def _related(rule: Derived) -> set[Any]:
    tables = {hop.model for path in rule.all_paths() for hop in path.hops}
    return {model for model in tables if ways_to(rule, model)}
