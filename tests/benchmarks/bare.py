"""The writes of a report by hand, with no more than they need: what update_data is compared with."""

import json
from decimal import Decimal
from hashlib import sha256

from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from config.urls import urlpatterns as site

KEY = "SELECT device_id FROM players_apikey WHERE prefix = %s AND hash = %s AND revoked_at IS NULL"
COUNT = """
    INSERT INTO players_ratelimit AS r (subject, spent_until) VALUES (%s, now() + interval '1 ms')
    ON CONFLICT (subject) DO UPDATE SET spent_until = greatest(r.spent_until, now()) + interval '1 ms'
    WHERE r.spent_until <= now() + interval '59 s'
"""
DEVICE = "SELECT id FROM players_device WHERE lower(name) = lower(%s) FOR NO KEY UPDATE"
PLAYER = """
    UPDATE players_player SET distance_total = distance_total + %s, last_active = %s WHERE lower(id_tag) = lower(%s)
    RETURNING id, distance_total
"""
SESSION = """
    INSERT INTO players_opensession AS s (player_id, device_id, started_at, last_activity, distance_km, flushed_km)
    VALUES (%s, %s, %s, %s, %s, 0) ON CONFLICT (player_id)
    DO UPDATE SET distance_km = s.distance_km + EXCLUDED.distance_km, last_activity = EXCLUDED.last_activity
    RETURNING distance_km
"""
GROUPS = """
    WITH RECURSIVE above (id, parent_id) AS (
        SELECT g.id, g.parent_id FROM players_membership m JOIN players_group g ON g.id = m.group_id
        WHERE m.player_id = %s
        UNION SELECT g.id, g.parent_id FROM above JOIN players_group g ON g.id = above.parent_id
    )
    UPDATE players_group SET distance_total = distance_total + %s WHERE id IN (SELECT id FROM above)
"""
KEEP = """
    INSERT INTO players_idempotencykey (device_id, key, body_hash, answer, at) VALUES (%s, %s, '', '{}', %s)
"""


@csrf_exempt
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """The key, the count for the limit, and four statements in one transaction; nothing else is checked."""
    key = request.headers["X-Api-Key"]
    with connection.cursor() as cursor:
        cursor.execute(KEY, [key.partition(".")[0], sha256(key.encode()).hexdigest()])
        cursor.fetchone()
        cursor.execute(COUNT, [f"key:{key.partition('.')[0]}"])
    body, now = json.loads(request.body), timezone.now()
    km = Decimal(str(body["distance"]))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(DEVICE, [body["device_id"]])
        [device] = cursor.fetchone()
        cursor.execute(PLAYER, [km, now, body["id_tag"]])
        player, total = cursor.fetchone()
        cursor.execute(SESSION, [player, device, now, now, km])
        [session] = cursor.fetchone()
        cursor.execute(GROUPS, [player, km])
        if again := request.headers.get("Idempotency-Key"):
            cursor.execute(KEEP, [device, again, now])
    answer = {"skipped": False, "distance_total": str(total), "session_km": str(session)}
    return HttpResponse(json.dumps(answer), content_type="application/json")


urlpatterns = [path("bare", report), *site]
