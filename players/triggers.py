"""Keeps the group tree free of cycles inside the database, where concurrent moves meet."""

import pgtrigger

# One lock for all trees. A lock per tree would have to name the trees on both ends of every move, and both may change
# while it waits; with one lock the transaction that commits last walks up after every other move has been committed,
# so it sees each edge of a cycle that it closes. Moves are rare, and the lock is taken only when one commits.
# The walk needs a fresh snapshot after the lock, which READ COMMITTED gives to every statement; stricter levels keep
# an old one and would miss the other move, so they are refused. Table names are qualified: a writer may have another
# search_path. UNION (not UNION ALL) ends the walk even below a cycle that was let in while the trigger was off.
NO_CYCLE = """
    IF TG_OP = 'UPDATE' AND NEW.parent_id IS NOT DISTINCT FROM OLD.parent_id THEN
        RETURN NULL;
    END IF;
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'feature_not_supported', MESSAGE = format(
            'Group "%s" cannot be placed in a %s transaction: place groups in a READ COMMITTED one.',
            NEW.name, upper(current_setting('transaction_isolation')));
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('players_group.parent', 0));
    EXECUTE format(
        'WITH RECURSIVE up (id) AS (
             SELECT parent_id FROM %1$I.%2$I WHERE id = $1
             UNION
             SELECT g.parent_id FROM %1$I.%2$I g JOIN up ON g.id = up.id
         )
         SELECT EXISTS (SELECT FROM up WHERE id = $1)', TG_TABLE_SCHEMA, TG_TABLE_NAME)
    INTO is_own_ancestor USING NEW.id;
    IF is_own_ancestor THEN
        RAISE EXCEPTION USING
            ERRCODE = 'check_violation', CONSTRAINT = TG_NAME, TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
            MESSAGE = format(
                'Group "%s" cannot be its own ancestor: choose a parent outside of its subtree.', NEW.name);
    END IF;
    RETURN NULL;
"""

group_tree_has_no_cycle = pgtrigger.Trigger(
    name="group_tree_has_no_cycle",
    when=pgtrigger.After,
    operation=pgtrigger.Insert | pgtrigger.UpdateOf("parent_id"),  # type: ignore[no-untyped-call]
    # Leaving for the root cannot close a cycle, so it waits for nobody.
    condition=pgtrigger.Q(new__parent__isnull=False),
    timing=pgtrigger.Deferred,
    declare=[("is_own_ancestor", "boolean")],
    func=NO_CYCLE,
)
