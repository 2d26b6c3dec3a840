"""Put a player's master right by hand: audited, and with the groups above in the same transaction."""

from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone

from players.exceptions import Invalid, Unknown
from players.models import MAX_KM, Group, MasterCorrection, Player
from players.placing import groups_above, lock_groups


def correct_master(player: int, by: Decimal, *, actor: str, reason: str) -> MasterCorrection:
    """Move a player's master, and each distinct group above once, by so many kilometres.

    A difference and not a new total: what is ridden between looking and correcting stays in. History is left as it is;
    where it disagrees then, the rule `players.mileage_adds_up` says so. Raises Unknown and Invalid.
    """
    if not reason.strip():
        raise Invalid("Say why: the correction is kept with its reason.", "reason")
    if not by:
        raise Invalid("This is the total already: there is nothing to correct.", "total")
    try:
        # One transaction, so that no total is ever seen that its players do not explain; the player's row is locked
        # first and the groups in the order of their ids, as every writer of both does.
        with transaction.atomic():
            locked = Player.objects.select_for_update().filter(pk=player).first()
            if locked is None:
                raise Unknown(f"There is no player {player}.", "player")
            after = locked.distance_total + by
            if not 0 <= after <= MAX_KM:
                raise Invalid(f"The total would become {after} km: it lies between 0 and {MAX_KM} km.", "total")
            groups = lock_groups(groups_above(player))
            Player.objects.filter(pk=player).update(distance_total=F("distance_total") + by)
            Group.objects.filter(pk__in=groups).update(distance_total=F("distance_total") + by)
            return MasterCorrection.objects.create(
                player=locked,
                before_km=locked.distance_total,
                after_km=after,
                reason=reason.strip(),
                actor=actor,
                at=timezone.now(),
            )
    except IntegrityError as error:
        raise Invalid(
            "A group above would fall below 0 km, so its total is wrong already: repair the groups first.", "total"
        ) from error
