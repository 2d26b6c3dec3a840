"""Small worlds out of order, known by name to every process that works on one."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import cast

from django.db import connection
from django.db.models import Model, Q, Sum
from procrastinate.contrib.django import app as procrastinate

from integrity import (
    Adjust,
    Agrees,
    Always,
    Automatic,
    Copy,
    Derived,
    Merge,
    Named,
    References,
    Relink,
    Shift,
    Trim,
    Unique,
)
from integrity.alerts.sending import send_due
from integrity.consolidate import consolidate
from integrity.consolidation import PHASES
from integrity.engine import analyze
from integrity.exceptions import RunInProgress
from integrity.models import Part
from integrity.observer import Observer
from integrity.registry import registry
from integrity.repair import repair
from integrity.reports import Report, RuleReport
from integrity.rules.base import Rule
from integrity.schedules.scheduling import run_due
from integrity.undo import undo
from integrity.workers.worker import work
from integrity.workers.working import work_on
from tests.integrity import feeds
from tests.integrity.rebuilds import sales_differ
from tests.toy import crews
from tests.toy import models as toy
from tests.toy.teams import League, Message, Series, Team, Town

DAY = datetime.date(2026, 3, 2)
LONG_AGO = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
SMALL = {"BATCH_KEYS": 2, "WINDOW_KEYS": 4}
"""Settings under which ten keys take several windows of several batches."""
IN_PARTS = SMALL | {"PART_KEYS": 3, "PART_ROWS": 4}
"""The same, divided among workers."""
WRONG = list(range(2, 12))
"""The keys that are wrong in each world."""


@dataclass(frozen=True)
class World:
    rule: Rule
    strategy: str
    make: Callable[[], None]
    models: tuple[type[Model], ...]
    """What it is made of, children first."""
    table: str
    """What a repair writes."""
    columns: str
    """Those that two repairs of the same rows must agree on, the owner of the row first."""


def make_accounts(number: int = 11) -> None:
    """Accounts with 3 in their entries; all but the first say 9."""
    toy.Account.objects.bulk_create(toy.Account(id=i, balance=9 if i > 1 else 3) for i in range(1, number + 1))
    toy.Entry.objects.bulk_create(
        toy.Entry(account_id=i, amount=amount) for i in range(1, number + 1) for amount in (1, 2)
    )


def make_ledgers(number: int = 11) -> None:
    """Ledgers that say 10. The first is right; of the others every second has postings of 14, every second of 7."""
    toy.Ledger.objects.bulk_create(toy.Ledger(id=i, total=10) for i in range(1, number + 1))
    parts = {i: (4, 6) if i == 1 else (3, 4) if i % 2 else (3, 5, 6) for i in range(1, number + 1)}
    toy.Posting.objects.bulk_create(
        toy.Posting(ledger_id=i, amount=Decimal(amount), day=DAY) for i, amounts in parts.items() for amount in amounts
    )
    toy.Posting.objects.update(made_at=LONG_AGO)


def make_twins(number: int = 11) -> None:
    """Profiles of both kinds. The first agree; of the others every second is missing on the left, or is older there."""
    toy.Account.objects.bulk_create(toy.Account(id=i) for i in range(1, number + 1))
    toy.OldProfile.objects.bulk_create(toy.OldProfile(owner_id=i, town=f"town {i}") for i in range(1, number + 1))
    toy.Profile.objects.bulk_create(toy.Profile(member_id=i, city="town 1") for i in range(1, number + 1, 2))
    for model, moment in ((toy.Profile, LONG_AGO), (toy.OldProfile, LONG_AGO + datetime.timedelta(1))):
        model._base_manager.update(created_at=LONG_AGO, updated_at=moment)
    toy.OldProfile.objects.filter(owner=1).update(updated_at=LONG_AGO)


def make_messages(number: int = 11) -> None:
    """Messages to teams that moved by 500; the first knows its team. Most name it, the others lie between those."""
    league, town = League.objects.create(id=1, code="APTA"), Town.objects.create(id=1, name="Winnetka")
    Series.objects.bulk_create(Series(id=i, name=f"Series {i}") for i in range(1, number + 1))
    Team.objects.bulk_create(Team(id=600 + i, town=town, series_id=i, league=league) for i in range(1, number + 1))
    Message.objects.bulk_create(
        Message(
            id=i,
            team_id=601 if i == 1 else 100 + (i + 5) % 10 + 2,
            text="When?" if i in (8, 9, 10) else f"Series {(i + 5) % 10 + 2}",
        )
        for i in range(1, number + 1)
    )


def make_crews(number: int = 11) -> None:
    """Crews of which each but the first was entered twice: what one of the two lacks the other has."""
    twice = range(2, number + 1)
    names = crews.Crew.objects.bulk_create(crews.Crew(id=i, wins=i) for i in range(1, number + 1))
    again = crews.Crew.objects.bulk_create(crews.Crew(id=100 + i, wins=i, alias="again") for i in twice)
    crews.Sailor.objects.bulk_create(crews.Sailor(id=i) for i in range(1, number + 1))
    crews.Payment.objects.bulk_create(crews.Payment(id=9000 + c.pk, crew=c, amount=1) for c in (*names, *again))
    crews.Berth.objects.bulk_create(
        crews.Berth(id=crew.pk, crew=crew, sailor_id=crew.wins, is_main=bool(crew.alias)) for crew in (*names, *again)
    )


CREWS = """(
    SELECT c.wins, c::text AS crew,
        array(SELECT p::text FROM toy_payment p WHERE crew_id = c.id ORDER BY 1) AS payments,
        array(SELECT b::text FROM toy_berth b WHERE crew_id = c.id ORDER BY 1) AS berths FROM toy_crew c
) AS crews"""


def _named(rule: Rule) -> Rule:
    rule.app = "toy"
    return rule


WORLDS = {
    "accounts": World(
        _named(
            Derived(
                toy.Account,
                "balance",
                equals=Sum("entries__amount"),
                name="balance_of_the_world",
                because="The toy says so.",
            )
        ),
        "recompute",
        make_accounts,
        (toy.Entry, toy.Account),
        "toy_account",
        "id, balance",
    ),
    "ledgers": World(
        _named(
            Derived(
                toy.Ledger,
                "total",
                truth="column",
                equals=Sum("postings__amount"),
                name="ledger_of_the_world",
                because="The toy says so.",
                repairs={
                    "even_out": [
                        Trim("postings", amount="amount"),
                        Adjust("postings", amount="amount", row={"day": DAY, "correction": True}),
                    ]
                },
            )
        ),
        "even_out",
        make_ledgers,
        (toy.Posting, toy.Ledger),
        "toy_posting",
        # A new row's number and time differ from run to run.
        "ledger_id, amount, day, correction, note",
    ),
    "twins": World(
        _named(
            Agrees(
                toy.Profile,
                toy.OldProfile,
                on={"member": "owner"},
                fields={"city": "town", "level": "level", "created_at": "created_at", "updated_at": "updated_at"},
                name="twins_of_the_world",
                because="The toy says so.",
                repairs={"copy": Copy("newest", by="updated_at")},
            )
        ),
        "copy",
        make_twins,
        (toy.Profile, toy.OldProfile, toy.Account),
        "toy_profile",
        "member_id, city, level, created_at, updated_at",
    ),
    "messages": World(
        _named(
            References(
                Message,
                "team_id",
                to=Team,
                name="message_of_the_world",
                because="The toy says so.",
                repairs={"relink": Relink(by=[Named("text", names=["series__name"]), Shift(at_least=5)])},
            )
        ),
        "relink",
        make_messages,
        (Message, Team, Series, Town, League),
        "toy_message",
        "id, team_id",
    ),
    "crews": World(
        _named(
            Unique(
                crews.Crew,
                by=["wins"],
                keep="id",
                name="crew_of_the_world",
                because="The toy says so.",
                repairs={"merge": Merge(fill=["alias"], repeats={crews.Berth: "-is_main"})},
            )
        ),
        "merge",
        make_crews,
        (crews.Payment, crews.Berth, crews.Sailor, crews.Crew),
        CREWS,
        "wins, crew, payments, berths",
    ),
}

HARMED = [3, 6, 7]
LIMIT = _named(
    Always(toy.Account, ~Q(balance=3, id__in=HARMED), name="never_three", because="Their repair would break this.")
)


def scheduled() -> list[Rule]:
    """Two rules about the accounts that are due each hour; what breaks the second is repaired by itself."""
    return [
        _named(
            Always(toy.Account, Q(limit__gte=0), name="limit_of_the_world", because="The toy says so.", every="1h"),
        ),
        _named(
            Derived(
                toy.Account,
                "balance",
                equals=Sum("entries__amount"),
                name="healing_of_the_world",
                because="The toy says so.",
                every="1h",
                automatic=Automatic("recompute", rows=50),
            )
        ),
    ]


def mirrored() -> Rule:
    """The rule of the twins, kept true by triggers from its copy on."""
    declared = cast("Agrees", WORLDS["twins"].rule)
    return _named(
        Agrees(
            toy.Profile,
            toy.OldProfile,
            on=declared.on,
            fields=declared.fields,
            name="mirrored_twins",
            because="The toy says so.",
            enforce=True,
            repairs=declared.repairs,
        )
    )


def run_scheduled(observer: Observer | None = None) -> Report:
    """What is due of these. Raises RunInProgress where another process is at it."""
    rules = scheduled()
    registry.register("toy", rules)
    try:
        done = run_due(rules, actor="ann", observer=observer)
    finally:
        registry.unregister(*(rule.label for rule in rules))
    if done.busy:
        raise RunInProgress(done.busy)
    assert done.report is not None
    return done.report


def perform(
    world: str,
    verb: str = "repair",
    run: int | None = None,
    observer: Observer | None = None,
    keys: Sequence[int] | None = None,
) -> Report:
    """Repair a world, or undo a run of it, only some keys where they are given; the world of squads is imported.

    The limited accounts are the accounts, some of which may not be repaired.
    """
    if verb == "run":
        return run_scheduled(observer)
    if world == "alerts":
        done = send_due(observer=observer)
        return Report(0, "alerts", rules=[RuleReport("toy.rule", status="clean", changes=done.sent)])
    if world == "sales":
        return _rebuild_or_undo(run if verb == "undo" else None, observer)
    if verb == "undo":
        rule, chosen = (None, None) if keys is None else (WORLDS[world].rule, [(key,) for key in keys])
        return undo(run or 0, rule=rule, keys=chosen, observer=observer, actor="ann")
    if world == "squads":
        report: Report = feeds.tonight(observer=observer, actor="ann")
        return report
    if verb in ("analyze", "changed"):
        mileage = registry.get("players.mileage_adds_up")
        return analyze([mileage], changed=verb == "changed", observer=observer, actor="ann")
    if world == "players":
        rules = [("players.mileage_adds_up", "recalculate_from_player"), ("players.group_total_adds_up", "recompute")]
        return repair([(registry.get(rule), strategy) for rule, strategy in rules], observer=observer, actor="ann")
    found, known = _known(world)
    registry.register("toy", known)
    try:
        if verb in ("work", "parts", "part"):
            return _work(observer, verb)
        if verb in PHASES:
            return consolidate(known[0], verb, strategy="copy", observer=observer, actor="ann")
        chosen = None if keys is None else [(key,) for key in keys]
        return repair([(found.rule, found.strategy)], keys=chosen, observer=observer, actor="ann")
    finally:
        registry.unregister(*(rule.label for rule in known))


def _known(world: str) -> tuple[World, list[Rule]]:
    """What a world is made of, and the rules that are known while something is done to it, its own first."""
    if world == "limited accounts":
        return WORLDS["accounts"], [WORLDS["accounts"].rule, LIMIT]
    if world == "mirrored twins":
        return WORLDS["twins"], [mirrored()]
    return WORLDS[world], [WORLDS[world].rule]


def _work(observer: Observer | None, verb: str) -> Report:
    """Be a worker; or see to the first part that waits, or to all, telling an observer of the steps."""
    if verb == "work":
        # What the clock asks for is no part of the test.
        procrastinate.periodic_registry.periodic_tasks = {}
        work()
    while part := Part.objects.filter(status="waiting").order_by("number").first():
        work_on(part.pk, observer)
        if verb == "part" or Part.objects.get(pk=part.pk).status == "waiting":
            break
    return Report(0, "work")


def _rebuild_or_undo(run: int | None, observer: Observer | None) -> Report:
    rule = sales_differ()
    registry.register("toy", [rule])
    try:
        if run is not None:
            return undo(run, observer=observer, actor="ann")
        return repair([(rule, "rebuild")], max_affected="100%", observer=observer, actor="ann")
    finally:
        registry.unregister(rule.label)


def rows(table: str, columns: str = "*") -> list[str]:
    """Rows as PostgreSQL prints them."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT r::text FROM (SELECT {columns} FROM {table}) AS r ORDER BY 1")
        return [row[0] for row in cursor.fetchall()]


def outcome(world: str) -> list[str]:
    """What two repairs of the same world must agree on."""
    return rows(WORLDS[world].table, WORLDS[world].columns)


def bytes_of(world: str) -> list[str]:
    """Every byte of the table that a repair writes."""
    return rows(WORLDS[world].table)


def by_owner(found: list[str]) -> dict[int, list[str]]:
    """An outcome by the key that its rows belong to, in the order of the keys."""
    owners: dict[int, list[str]] = {}
    for row in found:
        owners.setdefault(int(row[1:].partition(",")[0]), []).append(row)
    return dict(sorted(owners.items()))
