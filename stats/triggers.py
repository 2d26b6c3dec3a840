"""The history, written by the database itself: whoever changes core stats by whatever means leaves a line for each.

A verb says who does it and why in settings of its transaction (`stats.changing.signed`); for everybody else the line
names the database user and the program.
"""

from __future__ import annotations

from typing import Any

import pgtrigger

from integrity.enforcement.triggers import EVENTS, Keep
from stats.columns import CHANGEABLE

ACTOR, REASON = "holdtrue.actor", "holdtrue.reason"

WHO = f"left(coalesce(nullif(current_setting('{ACTOR}', true), ''), session_user::text), 200)"
WHY = (
    f"left(coalesce(nullif(current_setting('{REASON}', true), ''),"
    " concat_ws(' ', 'written by', nullif(current_setting('application_name'), ''), 'as', session_user)), 500)"
)
PAIRS = ", ".join(f"('{stat}', o.{stat}::integer, n.{stat}::integer)" for stat in CHANGEABLE)
VALUES = ", ".join(f"('{stat}', n.{stat}::integer)" for stat in CHANGEABLE)
LINE = f"s.new - s.old, {WHY}, {WHO}, clock_timestamp()"

# Nothing in these comes from outside.
CHANGED = f"""
    INSERT INTO stats_stathistory (user_id, stat, old, new, change, reason, by, at)
    SELECT n.user_id, s.stat, s.old, s.new, {LINE}
    FROM new_rows AS n JOIN old_rows AS o ON o.id = n.id AND o.user_id = n.user_id
    CROSS JOIN LATERAL (VALUES {PAIRS}) AS s (stat, old, new)
    WHERE s.old <> s.new
    ORDER BY n.id;
"""  # noqa: S608

# A row that comes back goes on with the history that its user has.
CAME_BACK = f"""
    INSERT INTO stats_stathistory (user_id, stat, old, new, change, reason, by, at)
    SELECT s.user_id, s.stat, s.old, s.new, {LINE}
    FROM (
        SELECT n.user_id, v.stat, v.new, (
            SELECT h.new FROM stats_stathistory AS h WHERE h.user_id = n.user_id AND h.stat = v.stat
            ORDER BY h.id DESC LIMIT 1
        ) AS old
        FROM new_rows AS n CROSS JOIN LATERAL (VALUES {VALUES}) AS v (stat, new)
        WHERE EXISTS (SELECT FROM stats_stathistory AS h WHERE h.user_id = n.user_id)
    ) AS s
    WHERE s.old <> s.new
    ORDER BY s.user_id;
"""  # noqa: S608


class Record(Keep):
    """Writes lines of the history after a statement; installed as the triggers of rules are."""

    def __init__(self, name: str, event: str, func: str) -> None:
        operation, referencing = EVENTS[event]
        pgtrigger.Trigger.__init__(self, name=name, operation=operation, referencing=referencing, func=func)

    def get_declare(self, model: Any) -> list[tuple[str, str]]:
        """No variables."""
        return []

    def get_func(self, model: Any) -> str:
        """The statement, then the end."""
        return f"{self.func}    RETURN NULL;"


record_changes = Record("record_changes", "update", CHANGED)
record_returns = Record("record_returns", "insert", CAME_BACK)


def recording(model: Any) -> list[str]:
    """The names of the triggers in the database: a repair of core stats leaves lines as well."""
    return [trigger.get_pgid(model) for trigger in (record_changes, record_returns)]
