"""What the nightly import stands on, set up, proved and, in an emergency, restored. Each says what it did."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, connections, transaction
from django.db.models import Count

from integrity import watch
from integrity.enforce import enforce
from integrity.exceptions import EngineError, sentence
from integrity.importing.known import imports
from integrity.importing.protection import VALID, constraints
from integrity.importing.restoring import restore_constraint
from integrity.importing.verb import run_import
from integrity.models import Severed
from integrity.observer import Observer
from integrity.registry import registry
from teams.models import Club, League, Poll, Series, Team
from teams.orphans import fix_orphans


@dataclass(frozen=True)
class Step:
    """One thing that was set up, tried or repaired."""

    what: str
    done: bool
    note: str = ""


def set_up(*, actor: str | None = None) -> list[Step]:
    """Make the constraints that are missing, enforce what the rules of teams declare, watch who deletes teams."""
    return [*_constraints(actor), *_enforcement(actor), *_watch()]


def emergency(*, actor: str | None = None) -> list[Step]:
    """Repair what is broken now: the constraints, then whatever points at teams that are gone, where evidence tells."""
    steps = [*_constraints(actor), *_enforcement(actor)]
    report = fix_orphans(actor=actor, reason="emergency")
    left = sum(rule.violations or 0 for rule in report.rules)
    note = f"run {report.run}: {report.changes} relinked, {left} left for a person"
    return [*steps, Step("references to teams that are gone", not left, note), *_watch()]


def prove() -> list[Step]:
    """Try what the protection must refuse or note, and roll each attempt back."""
    return [
        _refused("a team cannot be entered twice", _enter_twice),
        _refused("a team that somebody belongs to cannot be deleted", _delete_with_members),
        _noted("a delete of a team that a poll points at is noted", _delete_with_poll),
        _nothing_to_write(),
    ]


# Setting up


def _constraints(actor: str | None) -> Iterator[Step]:
    connection = connections[DEFAULT_DB_ALIAS]
    declared = constraints(imports.get("teams.nightly").feeds, connection)
    lacking = [one for one in declared if one.state != VALID]
    for one in lacking:
        try:
            done = restore_constraint(one, connection, actor=actor, observer=Observer())
            yield Step(str(one), done=True, note=" ".join(done))
        except EngineError as error:
            yield Step(str(one), done=False, note=sentence(error))
    yield Step("constraints", done=True, note=f"{len(declared) - len(lacking)} of {len(declared)} were there and valid")


def _enforcement(actor: str | None) -> Iterator[Step]:
    rules = [rule for rule in registry.select(["teams"]) if rule.enforce]
    if rules:
        report = enforce(rules, actor=actor, reason="protection of the import")
        for rule in report.rules:
            yield Step(f"enforcement of {rule.rule}", done=rule.enforcement == "enforced", note=rule.error)


def _watch() -> Iterator[Step]:
    models = [model for model in watch.watched_models() if model._meta.app_label == "teams"]
    installed = watch.install(models)
    for model in models:
        table = model._meta.db_table
        yield Step(f"watch on {table}", done=True, note="installed" if table in installed else "was there")


# Proving


class _RolledBackError(Exception):
    """The end of an attempt that nothing is to be left of."""


def _take_back() -> NoReturn:
    raise _RolledBackError


def _refused(what: str, attempt: Any) -> Step:
    try:
        # Whatever the attempt does is taken back, refused or not.
        with transaction.atomic():
            attempt()
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
            _take_back()
    except _RolledBackError:
        return Step(what, done=False, note="it was not refused")
    except IntegrityError as error:
        return Step(what, done=True, note=f"refused: {sentence(error)}")
    except DatabaseError as error:
        return Step(what, done=False, note=f"it could not be tried: {sentence(error)}")


def _noted(what: str, attempt: Any) -> Step:
    found = False
    try:
        with transaction.atomic():
            before = Severed.objects.count()
            attempt()
            found = Severed.objects.count() > before
            _take_back()
    except _RolledBackError:
        return Step(what, done=found, note="" if found else "it was not noted; see: manage.py integrity watch")
    except DatabaseError as error:
        return Step(what, done=False, note=f"it could not be tried: {sentence(error)}")


def _sample() -> Team:
    """A team that is there for the while of an attempt."""
    league = League.objects.create(league_id="integrity_proof", name="proof")
    club = Club.objects.create(name="integrity_proof")
    return Team.objects.create(league=league, club=club, series=Series.objects.create(name="integrity_proof"), name="")


def _enter_twice() -> None:
    team = _sample()
    Team.objects.create(league=team.league, club=team.club, series=team.series, name="again")


def _delete_with_members() -> None:
    from django.contrib.auth import get_user_model

    team = _sample()
    user = get_user_model()._default_manager.create(username="integrity_proof")
    team.memberships.create(user=user)
    Team.objects.filter(pk=team.pk)._raw_delete(DEFAULT_DB_ALIAS)


def _delete_with_poll() -> None:
    from django.contrib.auth import get_user_model

    team = _sample()
    user = get_user_model()._default_manager.create(username="integrity_proof")
    Poll.objects.create(team=team, created_by=user, question="")
    Team.objects.filter(pk=team.pk)._raw_delete(DEFAULT_DB_ALIAS)


def _nothing_to_write() -> Step:
    """Import what is there, as a dry run: nothing may differ, and nobody may vanish."""
    active = Team.objects.filter(is_active=True).select_related("league", "club", "series")
    given: dict[str, Any] = {
        "league": League.objects.values("league_id", "name"),
        "club": Club.objects.values("name"),
        "series": Series.objects.values("name"),
        "team": [
            {
                "league": team.league.league_id,
                "club": team.club.name,
                "series": team.series.name,
                "name": team.name,
                "alias": team.alias,
                "id": team.external_id,
            }
            for team in active
        ],
    }
    report = run_import(imports.get("teams.nightly"), given, dry_run=True, reason="proof of the protection")
    total = active.aggregate(n=Count("pk"))["n"]
    what = "an import of what is there writes nothing"
    done = report.status == "clean" and not report.changes
    return Step(what, done=done, note=report.error or f"{report.changes} of {total} teams would be written")
