"""remember_numbers: keep which team a number stands for, so that it can be told when the number leads nowhere."""

from django.db import connection, transaction

REMEMBER = """
    INSERT INTO teams_teamkey (team_id, league, club, series)
    SELECT t.id, l.league_id, c.name, s.name
    FROM teams_team AS t
    JOIN teams_league AS l ON l.id = t.league_id
    JOIN teams_club AS c ON c.id = t.club_id
    JOIN teams_series AS s ON s.id = t.series_id
    ORDER BY t.id
    ON CONFLICT DO NOTHING
"""


def remember_numbers() -> int:
    """Note the natural key of every team beside its number, unless it is noted; how many were new.

    To be called before teams change: a number that has stood for two teams tells nothing any more.
    """
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(REMEMBER)
        return int(cursor.rowcount)
