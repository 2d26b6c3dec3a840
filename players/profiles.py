"""One player as everybody may see it: no tag, which is what opens a ride, and no hidden group."""

from dataclasses import dataclass
from decimal import Decimal

from players.exceptions import Unknown
from players.models import Group, OpenSession, Player


@dataclass(frozen=True)
class Profile:
    """A visible player, its total, the part of it that is not in history yet, and its visible groups by name."""

    id: int
    name: str
    distance_total: Decimal
    in_flight_km: Decimal
    groups: list[Group]


def profile(player: int) -> Profile:
    """Two statements. Raises Unknown for a player that does not exist or is hidden."""
    found = Player.objects.filter(pk=player, is_visible=True).select_related("open_session").first()
    if found is None:
        raise Unknown(f"There is no player {player}.", "player_id")
    groups = Group.objects.filter(memberships__player=found, is_visible=True).order_by("name")
    return Profile(found.pk, found.name, found.distance_total, _in_flight(found), list(groups))


def _in_flight(player: Player) -> Decimal:
    session: OpenSession | None = getattr(player, "open_session", None)
    return session.distance_km - session.flushed_km if session else Decimal(0)
