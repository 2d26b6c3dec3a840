"""The audit, written by the database itself: whoever changes a vehicle by whatever means leaves a line.

Functions belong to their owner and have a search path of their own, so that a writer needs no right on the audit and
cannot lead it astray. Who it was says the session: verbs name the person (`vehicles.audit.signed`), everybody else is
the database user.
"""

from __future__ import annotations

from typing import Any

import pgtrigger

from integrity.enforcement.triggers import EVENTS, Keep
from vehicles.readings import ALONG

ACTOR, REASON = "holdtrue.actor", "holdtrue.reason"

WHO = f"coalesce(nullif(current_setting('{ACTOR}', true), ''), session_user::text)"
WHY = f"coalesce(current_setting('{REASON}', true), '')"
VIA = "concat_ws(' ', session_user, nullif(current_setting('application_name'), ''))"

# Nothing in these comes from outside.
OVERRIDES = f"""
    INSERT INTO vehicles_mileageoverride (vehicle_id, mileage, previous, reason, author, via, at)
    SELECT n.id, n.current_mileage_override, {{previous}}, {WHY}, left({WHO}, 200), left({VIA}, 200), clock_timestamp()
    FROM {{rows}}
    WHERE n.current_mileage_override IS DISTINCT FROM {{previous}}
    ORDER BY n.id;
"""  # noqa: S608

# The event that the mileage comes from: the first entry of the index of readings.
CHANGES = f"""
    INSERT INTO vehicles_mileagechange (vehicle_id, old, new, source, event_id, at, who, via)
    SELECT n.id, o.current_mileage, n.current_mileage, n.mileage_computed_from, e.id, clock_timestamp(),
        left({WHO}, 200), left({VIA}, 200)
    FROM new_rows AS n
    JOIN old_rows AS o ON o.id = n.id
    LEFT JOIN LATERAL (
        SELECT r.id FROM vehicles_vehicleevent AS r
        WHERE r.vehicle_id = n.id AND r.miles > 0 AND r.deleted_at IS NULL
        ORDER BY {", ".join(f"r.{column} DESC" for column in ALONG)} LIMIT 1
    ) AS e ON n.mileage_computed_from = 'event'
    WHERE n.current_mileage <> o.current_mileage
    ORDER BY n.id;
"""  # noqa: S608

CORRECTIONS = f"""
    INSERT INTO vehicles_readingcorrection (vehicle_id, event_id, old, new, reason, at, who, via)
    SELECT n.vehicle_id, n.id, o.miles, n.miles, {WHY}, clock_timestamp(), left({WHO}, 200), left({VIA}, 200)
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id
    WHERE n.miles IS DISTINCT FROM o.miles
    ORDER BY n.id;
"""  # noqa: S608

REFUSE = """
    RAISE EXCEPTION USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME, SCHEMA = TG_TABLE_SCHEMA,
        MESSAGE = format('%s is an audit and only grows: a line is never changed or deleted.', TG_TABLE_NAME);
"""

FROM_BOTH = "new_rows AS n JOIN old_rows AS o ON o.id = n.id"


class Record(Keep):
    """Writes a line of the audit after a statement; installed as the triggers of rules are."""

    def __init__(self, name: str, event: str, func: str) -> None:
        operation, referencing = EVENTS[event]
        pgtrigger.Trigger.__init__(self, name=name, operation=operation, referencing=referencing, func=func)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """No variables."""
        return []

    def get_func(self, model: Any) -> str:
        """The statements, then the end."""
        return f"{self.func}    RETURN NULL;"


record_inserts = Record("record_inserts", "insert", OVERRIDES.format(previous="NULL::integer", rows="new_rows AS n"))
record_updates = Record(
    "record_updates", "update", OVERRIDES.format(previous="o.current_mileage_override", rows=FROM_BOTH) + CHANGES
)
record_corrections = Record("record_corrections", "update", CORRECTIONS)


def pgid(trigger: pgtrigger.Trigger, model: Any) -> str:
    """The name of a trigger in the database."""
    return trigger.get_pgid(model)


class AppendOnly(Keep):
    """Refuses to change or delete a row. TRUNCATE is left to the owner of the table."""

    level = pgtrigger.Row
    when = pgtrigger.Before

    def __init__(self) -> None:
        operation = pgtrigger.Update | pgtrigger.Delete
        pgtrigger.Trigger.__init__(self, name="append_only", operation=operation, func=REFUSE)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """No variables."""
        return []

    def get_func(self, model: Any) -> str:
        """The refusal."""
        return REFUSE


append_only = AppendOnly()
