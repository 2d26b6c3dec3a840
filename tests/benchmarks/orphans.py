"""References to nothing: finding them in three tables, and what it costs that triggers refuse them."""

from __future__ import annotations

from typing import Any

from django.contrib.contenttypes.fields import GenericForeignKey
from django.contrib.contenttypes.models import ContentType
from django.db import DEFAULT_DB_ALIAS, models

from integrity import References
from integrity.enforcement.ways import enforcement_of
from integrity.engine import analyze
from integrity.look import look
from integrity.registry import registry
from integrity.reports import RuleReport
from integrity.rules.base import Rule
from integrity.scope import Scope
from tests.benchmarks.kept import Kept
from tests.benchmarks.measure import Job
from tests.benchmarks.world import sql


class Parent(models.Model):
    class Meta:
        app_label, db_table = "benchmarks", "benchmarks_parent"


class Referring(models.Model):
    parent_id = models.IntegerField()

    class Meta:
        app_label, abstract = "benchmarks", True


class Poll(Referring):
    class Meta(Referring.Meta):
        abstract, db_table = False, "benchmarks_poll"


class Message(Referring):
    class Meta(Referring.Meta):
        abstract, db_table = False, "benchmarks_message"


class Match(Referring):
    class Meta(Referring.Meta):
        abstract, db_table = False, "benchmarks_match"


class Remark(models.Model):
    content_type = models.ForeignKey(ContentType, models.CASCADE)
    object_id = models.BigIntegerField()
    about = GenericForeignKey()

    class Meta:
        app_label, db_table = "benchmarks", "benchmarks_remark"


CHILDREN = (Poll, Message, Match)
# As many rows as the history has hours: three fifths of 5,000,000, and a parent for thirty of them.
LOAD = """
    CREATE TABLE benchmarks_parent (id bigserial PRIMARY KEY, name text);
    INSERT INTO benchmarks_parent (name) SELECT 'Team ' || n FROM generate_series(1, {parents}) n;
    CREATE TABLE benchmarks_remark (id bigserial PRIMARY KEY, content_type_id int, object_id bigint);
    CREATE INDEX ON benchmarks_remark (content_type_id, object_id);
    INSERT INTO django_content_type (app_label, model) VALUES ('benchmarks', 'parent');
"""
CHILD = """
    CREATE TABLE {table} (id bigserial PRIMARY KEY, parent_id int NOT NULL);
    INSERT INTO {table} (parent_id)
    SELECT CASE WHEN n % 10000 = 0 THEN -n ELSE n::bigint * 7919 % {parents} + 1 END FROM generate_series(1, {rows}) n;
    VACUUM ANALYZE {table};
"""
BY_HAND = """
    SELECT id, parent_id FROM {table} c WHERE parent_id IS NOT NULL
    AND NOT EXISTS (SELECT FROM benchmarks_parent p WHERE p.id = c.parent_id) ORDER BY id
"""


def load() -> None:
    """Once in a database: parents for a thirtieth of the children."""
    if sql("SELECT to_regclass('benchmarks_parent')")[0][0]:
        return
    rows = sql("SELECT count(*) / 5 FROM players_hourlymetric")[0][0]
    sql(LOAD.format(parents=rows // 10))
    sql("VACUUM ANALYZE benchmarks_parent")
    for model in CHILDREN:
        for statement in CHILD.format(table=model._meta.db_table, parents=rows // 10, rows=rows).split(";\n"):
            if statement.strip():
                sql(statement)


class OrphansFound(Job):
    """Without the records, which cost the same whatever the size."""

    name, what, goal = "orphans-found", "find references to nothing in three tables", 1.2
    indexed = False

    def before(self) -> None:
        load()
        for model in CHILDREN:
            table = model._meta.db_table
            there = bool(sql(f"SELECT to_regclass('{table}_parent')")[0][0])
            if there and not self.indexed:
                sql(f"DROP INDEX {table}_parent")
            if self.indexed and not there:
                sql(f"CREATE INDEX {table}_parent ON {table} (parent_id)")
                sql(f"VACUUM ANALYZE {table}")

    def by_hand(self) -> None:
        for model in CHILDREN:
            sql(BY_HAND.format(table=model._meta.db_table))

    def rules(self) -> list[Rule]:
        return [
            References(model, "parent_id", to=Parent, name=model.__name__.lower(), because="The benchmark says so.")
            for model in CHILDREN
        ]

    def by_engine(self) -> None:
        for rule in self.rules():
            look(rule, Scope(), DEFAULT_DB_ALIAS, RuleReport(rule.name))


class Orphans(OrphansFound):
    name, what = "orphans", "the same with records"

    def by_engine(self) -> None:
        rules = self.rules()
        registry.register("benchmarks", rules)
        try:
            assert analyze(rules).status == "violated"
        finally:
            registry.unregister(*(rule.label for rule in rules))


class OrphansIndexed(Orphans):
    name, what = "orphans-indexed", "that with an index on each reference"
    indexed = True


class Refer(Kept):
    """A statement, bare and with triggers that refuse a (type, id) pair that leads nowhere."""

    name, what = "refer-insert", "insert a fiftieth as many pairs as hours, looked at by triggers"
    goal: float | None = None
    needs = "history"
    known: Rule | None = None
    statement = """
        INSERT INTO benchmarks_remark (content_type_id, object_id)
        SELECT t.id, p.id FROM benchmarks_parent p, django_content_type t WHERE t.model = 'parent'
    """

    @property
    def triggers(self) -> list[tuple[Any, Any]]:
        if self.known is None:
            load()
            self.known = References(
                Remark, "about", to=[Parent], name="leads", because="The benchmark says so.", enforce=True
            )
            self.known.app = "benchmarks"
            for model, trigger in self._declared():
                sql(trigger.compile(model).install_sql)
        return self._declared()

    def _declared(self) -> list[tuple[Any, Any]]:
        way: Any = enforcement_of(self.known)  # type: ignore[arg-type]
        return list(way.triggers())

    def keep(self, *, on: bool) -> None:
        for model, trigger in self.triggers:
            state = "ENABLE" if on else "DISABLE"
            sql(f"ALTER TABLE {model._meta.db_table} {state} TRIGGER {trigger.get_pgid(model)}")

    def prepare(self, *, on: bool) -> None:
        sql("ROLLBACK")
        self.keep(on=on)
        sql("VACUUM benchmarks_remark, benchmarks_parent")
        if not self.commits:
            sql("BEGIN")

    def after(self) -> None:
        sql("ROLLBACK")
        for model, trigger in self.triggers:
            sql(trigger.compile(model).uninstall_sql)
        self.known = None


class ReferDelete(Refer):
    name, what = "refer-delete", "delete a tenth of the rows referred to by nobody"
    statement = "DELETE FROM benchmarks_parent WHERE id % 10 = 3"


class ReferBeside(Refer):
    name, what = "refer-beside", "change another column of those"
    statement = "UPDATE benchmarks_parent SET name = 'x' WHERE id % 10 = 3"


class ReferSingle(Refer):
    """A transaction for each row."""

    name, what = "refer-single", "insert single pairs, looked at by triggers"
    commits, rows = True, 300
    statement = """
        INSERT INTO benchmarks_remark (content_type_id, object_id)
        SELECT id, %s FROM django_content_type WHERE model = 'parent'
    """

    def by_hand(self) -> None:
        for number in range(self.rows):
            sql(self.statement, [number + 1])

    by_engine = by_hand


ORPHANS: list[type[Job]] = [OrphansFound, Orphans, OrphansIndexed, Refer, ReferDelete, ReferBeside, ReferSingle]
