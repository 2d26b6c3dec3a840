"""Whatever the catalog says of a table, it says of the rebuilt one, under the same names."""

import pytest
from django.db import connection

from integrity.rebuilding.portrait import differences
from integrity.undo import undo
from tests.integrity import rebuilds
from tests.integrity.helpers import execute, registered
from tests.integrity.rebuilds import make_sales, rebuilt, sales_differ

pytestmark = pytest.mark.django_db(transaction=True)

EIGHTEEN = 180000
EVERYTHING = {
    "a default": "ALTER TABLE toy_sale ADD c text DEFAULT 'x' || current_setting('DateStyle')",
    "a serial": "ALTER TABLE toy_sale ADD c serial",
    "an identity with options": "ALTER TABLE toy_sale ADD c int GENERATED ALWAYS AS IDENTITY (INCREMENT 5 CACHE 3)",
    "a generated column": "ALTER TABLE toy_sale ADD c int GENERATED ALWAYS AS (amount * 2) STORED",
    "a column that went": "ALTER TABLE toy_sale ADD c int, ADD d text DEFAULT 'd'; ALTER TABLE toy_sale DROP c",
    "a collation": "ALTER TABLE toy_sale ADD c text COLLATE \"C\"",
    "a check": "ALTER TABLE toy_sale ADD CONSTRAINT toy_check CHECK (amount <> 77)",
    "a check not validated": "ALTER TABLE toy_sale ADD CONSTRAINT toy_check_2 CHECK (amount > 2) NOT VALID",
    "a unique key": "ALTER TABLE toy_sale ADD CONSTRAINT toy_u UNIQUE (id, amount) DEFERRABLE INITIALLY DEFERRED",
    "an exclusion": "ALTER TABLE toy_sale ADD CONSTRAINT toy_x EXCLUDE (id WITH =)",
    "a foreign key not validated": (
        "ALTER TABLE toy_sale ADD c bigint DEFAULT 99, ADD CONSTRAINT toy_fk FOREIGN KEY (c)"
        " REFERENCES toy_account ON DELETE CASCADE NOT VALID"
    ),
    "an index": (
        'CREATE INDEX "toy Index" ON toy_sale (abs(amount) DESC, region_id text_pattern_ops) INCLUDE (id)'
        " WITH (fillfactor = 70) WHERE amount > 0"
    ),
    "statistics of an index": (
        "CREATE INDEX toy_i ON toy_sale ((amount + 1)); ALTER INDEX toy_i ALTER COLUMN 1 SET STATISTICS 500"
    ),
    "a clustered index": "ALTER TABLE toy_sale CLUSTER ON toy_sale_pkey",
    "replica identity": "ALTER TABLE toy_sale REPLICA IDENTITY FULL",
    "replica identity by index": "ALTER TABLE toy_sale REPLICA IDENTITY USING INDEX toy_sale_pkey",
    "statistics": (
        "CREATE STATISTICS toy_s (ndistinct, mcv) ON region_id, amount FROM toy_sale;"
        " ALTER STATISTICS toy_s SET STATISTICS 50; CREATE STATISTICS toy_e ON (amount % 7) FROM toy_sale"
    ),
    "options": (
        "ALTER TABLE toy_sale SET (fillfactor = 80, autovacuum_enabled = false, toast.autovacuum_enabled = false);"
        " ALTER TABLE toy_sale ALTER amount SET STATISTICS 0, ALTER region_id SET (n_distinct = -0.5),"
        " ALTER region_id SET STORAGE EXTERNAL, ALTER region_id SET COMPRESSION pglz"
    ),
    "comments": (
        "COMMENT ON TABLE toy_sale IS '100 % of ''sales'''; COMMENT ON COLUMN toy_sale.amount IS 'how much';"
        " COMMENT ON INDEX toy_sale_pkey IS 'the key'; COMMENT ON CONSTRAINT toy_sale_pkey ON toy_sale IS 'again'"
    ),
    "unlogged": "ALTER TABLE toy_sale SET UNLOGGED",
    "a trigger that is off": (
        "CREATE TRIGGER toy_t BEFORE UPDATE OF amount ON toy_sale FOR EACH ROW WHEN (NEW.amount > 5)"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger(); COMMENT ON TRIGGER toy_t ON toy_sale IS 'off';"
        " ALTER TABLE toy_sale DISABLE TRIGGER toy_t"
    ),
    "a trigger of replicas": (
        "CREATE TRIGGER toy_t BEFORE UPDATE ON toy_sale FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger(); ALTER TABLE toy_sale ENABLE REPLICA TRIGGER toy_t"
    ),
    "grants": (
        "GRANT SELECT ON toy_sale TO PUBLIC; GRANT INSERT, UPDATE (amount) ON toy_sale TO toy_clerk WITH GRANT OPTION;"
        " GRANT USAGE ON SEQUENCE toy_sale_id_seq TO toy_clerk"
    ),
    "an owner": "ALTER TABLE toy_sale OWNER TO toy_clerk",
    "grants that defaults would add": "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO toy_clerk",
}  # fmt: skip


@pytest.fixture(autouse=True)
def table():
    execute(*map(named, ("DROP ROLE IF EXISTS toy_clerk", "CREATE ROLE toy_clerk")))
    execute(named("GRANT CREATE ON SCHEMA public TO toy_clerk"))
    with rebuilds.given_back():
        yield
    execute(*map(named, ("DROP OWNED BY toy_clerk", "DROP ROLE toy_clerk")))


def named(sql):
    """Roles are shared by the databases of parallel tests."""
    return sql.replace("toy_clerk", f"clerk_of_{connection.settings_dict['NAME']}")


@pytest.mark.parametrize("what", EVERYTHING)
def test_it_is_carried_over_and_back(what):
    make_sales(times=3, amounts=(1, 2))
    execute(named(EVERYTHING[what]))
    look, names = rebuilds.look_of(), rebuilds.names_in_schema()
    rule = sales_differ()
    report = rebuilt(rule)
    assert report.status == "clean", report.rules[0].error
    assert differences(look, rebuilds.look_of()) == [f"index {rebuilds.ONCE}"]
    with registered(rule):
        assert undo(report.run).status == "clean"
    assert rebuilds.look_of() == look
    assert set(rebuilds.names_in_schema()) ^ set(names) == set()


def test_everything_at_once_is_carried_over():
    make_sales(times=3, amounts=(1, 2))
    execute(*(named(sql) for what, sql in EVERYTHING.items() if " c " not in sql and "toy_t " not in sql))
    look = rebuilds.look_of()
    report = rebuilt(sales_differ())
    assert report.status == "clean", report.rules[0].error
    assert differences(look, rebuilds.look_of()) == [f"index {rebuilds.ONCE}"]


def test_an_index_that_never_became_valid_is_not_carried_over():
    make_sales(times=3)
    with connection.cursor() as cursor, pytest.raises(Exception, match="could not create unique index"):
        cursor.execute(f"CREATE UNIQUE INDEX CONCURRENTLY {rebuilds.ONCE} ON toy_sale (region_id, amount)")
    assert rebuilt(sales_differ()).status == "clean"
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT indisvalid FROM pg_index WHERE indexrelid = '{rebuilds.ONCE}'::regclass")
        assert cursor.fetchone() == (True,)


def test_a_serial_goes_on_counting_and_belongs_to_the_table():
    make_sales(times=2, amounts=(1,))
    execute("ALTER TABLE toy_sale ADD c serial", "SELECT setval('toy_sale_c_seq', 40)")
    rebuilt(sales_differ())
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO toy_sale (region_id, amount) VALUES ('north', 8) RETURNING c")
        assert cursor.fetchone() == (41,)
        cursor.execute("SELECT pg_get_serial_sequence('toy_sale', 'c')")
        assert cursor.fetchone() == ("public.toy_sale_c_seq",)


def test_a_parent_can_be_deleted_although_the_backup_names_it():
    make_sales(times=2, amounts=(1,))
    rebuilt(sales_differ())
    execute("DELETE FROM toy_sale", "DELETE FROM toy_region")
