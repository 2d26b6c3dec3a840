"""Loads the test world: master first, then the history as if sessions had been saved."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from time import perf_counter

from django.db import connection, transaction
from django.db.models import F
from django.db.models.functions import Lower
from django.utils import timezone

from players.models import Device, Group, HourlyMetric, Membership, OpenSession, Player
from players.test_data import figures

BATCH = 1_000
LOADING = "SELECT pg_advisory_xact_lock(hashtextextended('players.test_data', 0))"
# Foreign keys are checked batch by batch: left to COMMIT, fifteen million checks would wait in the server's memory and
# the last progress message would stand for a minute.
CHECK_FOREIGN_KEYS = "SET CONSTRAINTS ALL IMMEDIATE; SET CONSTRAINTS ALL DEFERRED"
ANALYZE = "ANALYZE players_group, players_device, players_player, players_membership, players_hourlymetric"
COPY_HISTORY = """
    COPY players_hourlymetric (player_id, device_id, hour, distance_km, group_at_time_id, is_adjustment) FROM STDIN
"""


@dataclass(frozen=True)
class Loaded:
    """What a load has added: numbers of rows, kilometres of the new players, seconds taken."""

    players: int
    groups: int
    devices: int
    hours: int
    km: Decimal
    seconds: float


@dataclass(frozen=True)
class Clock:
    """The moment of a load. Rides are counted back from midnight; running sessions were active a minute ago."""

    now: datetime

    @property
    def midnight(self) -> datetime:
        return self.now.replace(hour=0, minute=0, second=0, microsecond=0)

    @property
    def last_activity(self) -> datetime:
        return self.now - timedelta(minutes=1)

    @property
    def this_hour(self) -> datetime:
        return self.last_activity.replace(minute=0, second=0, microsecond=0)


class Places:
    """The ids of the groups and devices of one load, by name; what is missing is made."""

    def __init__(self, seed: int, numbers: Sequence[int]) -> None:
        schools = dict.fromkeys(figures.school_of(seed, number) for number in numbers)
        classes = dict.fromkeys((figures.school_of(seed, number), figures.class_of(number)) for number in numbers)
        self.groups_made = self.devices_made = 0
        self.groups: dict[str, int] = {}
        self.devices: dict[str, int] = {}
        self._make_groups([Group(name=school, kind=Group.Kind.SCHOOL) for school in schools])
        self._make_groups(
            [self._part(school, name, Group.Kind.CLASS) for school, name in classes]
            + [self._part(school, "bike club", Group.Kind.CLUB) for school in schools]
        )
        self._make_devices(
            [self._bike(school, name, bike) for school, name in classes for bike in range(figures.BIKES_PER_CLASS)]
            + [Device(name=figures.part_of(school, "spare bike")) for school in schools]
        )

    def _part(self, school: str, part: str, kind: Group.Kind) -> Group:
        return Group(name=figures.part_of(school, part), kind=kind, parent_id=self.groups[school])

    def _bike(self, school: str, class_: str, bike: int) -> Device:
        group = self.groups[figures.part_of(school, class_)]
        return Device(name=figures.part_of(school, f"{class_} bike {bike + 1}"), group_id=group)

    def _make_groups(self, groups: list[Group]) -> None:
        names = [group.name for group in groups]
        known = set(Group.objects.filter(name__in=names).values_list("name", flat=True))
        self.groups_made += len(Group.objects.bulk_create([group for group in groups if group.name not in known]))
        self.groups |= dict(Group.objects.filter(name__in=names).values_list("name", "id"))

    def _make_devices(self, devices: list[Device]) -> None:
        names = [device.name for device in devices]
        known = set(Device.objects.filter(name__in=names).values_list("name", flat=True))
        self.devices_made += len(Device.objects.bulk_create([device for device in devices if device.name not in known]))
        self.devices |= dict(Device.objects.filter(name__in=names).values_list("name", "id"))


class Rider:
    """One player of the test world with its places, before and after it has a row."""

    def __init__(self, seed: int, number: int, places: Places) -> None:
        self.seed, self.number = seed, number
        self.school = figures.school_of(seed, number)
        class_ = figures.class_of(number)
        self.class_id = places.groups[figures.part_of(self.school, class_)]
        self.group_ids = [self.class_id]
        if figures.is_in_club(number):
            self.group_ids.append(places.groups[figures.part_of(self.school, "bike club")])
        self.school_id = places.groups[self.school]
        self.class_bikes = [
            places.devices[figures.part_of(self.school, f"{class_} bike {bike + 1}")]
            for bike in range(figures.BIKES_PER_CLASS)
        ]
        spare = places.devices[figures.part_of(self.school, "spare bike")]
        first, second = self.class_bikes[number % 3], self.class_bikes[(number + 1) % 3]
        # (device, group at the time): a bike without a group counts for the player's lowest leaf group.
        self.bikes = [(first, self.class_id), (second, self.class_id), (spare, min(self.group_ids))]


def load(
    *,
    players: int = 500,
    days: int = 30,
    seed: int = 1,
    now: datetime | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Loaded:
    """Add the players of this seed that are missing, with `days` days of history up to `now`, and say what was added.

    A player that is there already is left as it is, whatever has happened to it since; so a second load adds nothing,
    on whichever day it runs. Raises BadArgument. `progress` is told the players done and the players to do.
    """
    figures.check_arguments(players=players, days=days, seed=seed)
    started, clock = perf_counter(), Clock(now or timezone.now())
    hours = units = 0
    # The lock lets a second load of the same seed wait and then find everything there, instead of failing on a name.
    with transaction.atomic():
        _execute(LOADING)
        numbers = _missing(seed, players)
        places = Places(seed, numbers)
        riders = [Rider(seed, number, places) for number in numbers]
        ridden: Counter[int] = Counter()
        for start in range(0, len(riders), BATCH):
            batch = riders[start : start + BATCH]
            hours += _load_batch(batch, days, clock, ridden)
            _execute(CHECK_FOREIGN_KEYS)
            progress(start + len(batch), len(riders))
        units = sum(ridden[school] for school in {rider.school_id for rider in riders})
        _add_to_groups(ridden)
        # Large tables that the planner believes to be empty would make the first analysis slow.
        if riders:
            _execute(ANALYZE)
    km = figures.decimal(units)
    return Loaded(len(riders), places.groups_made, places.devices_made, hours, km, perf_counter() - started)


def _execute(sql: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql)


def _missing(seed: int, players: int) -> list[int]:
    prefix = f"{figures.mark(seed)}-"
    known = set(Player.objects.filter(id_tag__istartswith=prefix).values_list(Lower("id_tag"), flat=True))
    return [number for number in range(1, players + 1) if figures.id_tag(seed, number) not in known]


def _load_batch(riders: Sequence[Rider], days: int, clock: Clock, ridden: Counter[int]) -> int:
    """Write the players, then what came about hour by hour. Add each player's units to its groups in `ridden`."""
    histories = [list(figures.rides(rider.seed, rider.number, days)) for rider in riders]
    players = []
    for rider, history in zip(riders, histories, strict=True):
        total = sum(units for _, _, units in history)
        if figures.session_bike(rider.number) is not None:
            total += sum(figures.session_parts(rider.seed, rider.number))
        ridden.update(dict.fromkeys([*rider.group_ids, rider.school_id], total))
        players.append(_player(rider, total, history, clock))
    Player.objects.bulk_create(players)
    Membership.objects.bulk_create(
        Membership(player=player, group_id=group)
        for player, rider in zip(players, riders, strict=True)
        for group in rider.group_ids
    )
    _copy_history(players, riders, histories, clock)
    return sum(map(len, histories)) + _open_sessions(players, riders, clock)


def _player(rider: Rider, total: int, history: Sequence[tuple[int, int, int]], clock: Clock) -> Player:
    last_active = None
    if figures.session_bike(rider.number) is not None:
        last_active = clock.last_activity
    elif history:
        last_active = clock.midnight - timedelta(hours=min(hour for hour, _, _ in history), minutes=-50)
    return Player(
        name=f"Rider {rider.number:04d}",
        id_tag=figures.id_tag(rider.seed, rider.number),
        distance_total=figures.decimal(total),
        is_visible=not figures.is_hidden(rider.number),
        collects=figures.collects(rider.number),
        last_active=last_active,
    )


def _copy_history(
    players: Sequence[Player],
    riders: Sequence[Rider],
    histories: Sequence[Sequence[tuple[int, int, int]]],
    clock: Clock,
) -> None:
    """COPY, as 5,000,000 rows through the ORM would take the better part of an hour."""
    hours: dict[int, str] = {}
    with connection.cursor() as cursor, cursor.copy(COPY_HISTORY) as copy:
        for player, rider, history in zip(players, riders, histories, strict=True):
            lines = []
            for back, bike, units in history:
                if back not in hours:
                    hours[back] = (clock.midnight - timedelta(hours=back)).isoformat()
                device, group = rider.bikes[bike]
                km, rest = divmod(units, 100_000)
                lines.append(f"{player.pk}\t{device}\t{hours[back]}\t{km}.{rest:05d}\t{group}\tf\n")
            copy.write("".join(lines))


def _open_sessions(players: Sequence[Player], riders: Sequence[Rider], clock: Clock) -> int:
    """Write the running sessions and the hours that they have flushed; the number of hours."""
    sessions, flushed_hours = [], []
    for player, rider in zip(players, riders, strict=True):
        bike = figures.session_bike(rider.number)
        if bike is None:
            continue
        flushed, in_flight = figures.session_parts(rider.seed, rider.number)
        device = rider.class_bikes[bike]
        sessions.append(
            OpenSession(
                player=player,
                device_id=device,
                started_at=clock.this_hour - timedelta(minutes=30) if flushed else clock.this_hour,
                last_activity=clock.last_activity,
                distance_km=figures.decimal(flushed + in_flight),
                flushed_km=figures.decimal(flushed),
            )
        )
        if flushed:
            flushed_hours.append(
                HourlyMetric(
                    player=player,
                    device_id=device,
                    hour=clock.this_hour - timedelta(hours=1),
                    distance_km=figures.decimal(flushed),
                    group_at_time_id=rider.class_id,
                )
            )
    OpenSession.objects.bulk_create(sessions)
    HourlyMetric.objects.bulk_create(flushed_hours)
    return len(flushed_hours)


def _add_to_groups(ridden: Counter[int]) -> None:
    """Add, never set: whatever else has moved a total since stays in it."""
    groups = [
        Group(id=group, distance_total=F("distance_total") + figures.decimal(units)) for group, units in ridden.items()
    ]
    Group.objects.bulk_update(groups, ["distance_total"], batch_size=BATCH)
