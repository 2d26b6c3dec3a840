"""What a worker does with a run that was put off."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from integrity import leases, records, statuses
from integrity.exceptions import LostRun, Refused, UsageError, sentence
from integrity.keys import Keys
from integrity.models import Result, Run
from integrity.registry import registry
from integrity.rules.base import Rule
from integrity.workers.later import CALL

logger = logging.getLogger(__name__)


def perform(number: int) -> str:
    """Do what a run was put off for. Its status afterwards.

    One that somebody is at work on, or that has ended, is left alone: an errand may come twice.
    """
    run = _claim(number)
    if run is None:
        _discard(number)
        return "left alone"
    try:
        with leases.Heartbeat(run), records.beginning(run):
            VERBS[Run.Verb(run.verb)](run, run.options[CALL])
    except LostRun:
        logger.warning(
            "Run %s was taken over by another process", number, extra={"action": "taken_over", "run": number}
        )
    except (UsageError, Refused) as error:
        _end(number, statuses.REFUSED, sentence(error))
    except Exception as error:
        logger.exception("Run %s could not be performed", number, extra={"action": "failed", "run": number})
        _end(number, statuses.FAILED, f"{type(error).__name__}: {sentence(error)}")
    _discard(number)
    return str(Run.objects.values_list("status", flat=True).get(pk=number))


def _claim(number: int) -> Run | None:
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(pk=number).first()
        if run is None or CALL not in run.options:
            return None
        if run.status == statuses.RUNNING and leases.is_dead(run):
            # What holds a lease is taken over by the verb itself, which goes on with it.
            if not Result.objects.filter(run=run, writes=True, status=statuses.RUNNING).exists():
                run.status = statuses.move(run.status, statuses.QUEUED)
                run.save(update_fields=["status"])
            return run
        return run if run.status == statuses.QUEUED else None


def _end(number: int, status: str, told: str) -> None:
    """The verb refused to begin, or broke: the run says why, and stays open for nobody."""
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    with transaction.atomic():
        run = Run.objects.select_for_update().get(pk=number)
        if run.status in (statuses.QUEUED, statuses.RUNNING):
            run.results.filter(status=statuses.RUNNING).update(status=status, error=told)
            records.end_run(run, status, told)


def _discard(number: int) -> None:
    """Remove the files of a run that is over, where that was asked for; whoever took it over still reads them."""
    run = Run.objects.exclude(status__in=[statuses.QUEUED, statuses.RUNNING]).filter(pk=number).first()
    call = run.options.get(CALL, {}) if run else {}
    given = call.get("given") if call.get("discard") else None
    for path in map(Path, given.values() if isinstance(given, dict) else [given] if given else []):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


# The verbs, called with what the run has kept


def _analyze(run: Run, call: dict[str, Any]) -> None:
    from integrity.engine import analyze
    from integrity.workers.dividing import divide_analysis

    rules = [registry.get(label) for label in call["rules"]]
    if run.keys is None and divide_analysis(rules, run):
        return
    analyze(rules, keys=_keys(run, rules), using=run.database, actor=run.actor, reason=run.reason)


def _repair(run: Run, call: dict[str, Any]) -> None:
    from integrity.repair import repair

    work = [(registry.get(label), strategy) for label, strategy in call["work"]]
    repair(
        work,
        keys=_keys(run, [rule for rule, _ in work]),
        dry_run=run.dry_run,
        max_affected=call["max_affected"],
        shares=True,
        actor=run.actor,
        reason=run.reason,
    )


def _verify(run: Run, _: dict[str, Any]) -> None:
    from integrity.engine import verify

    verify(_of(run), actor=run.actor, reason=run.reason)


def _undo(run: Run, call: dict[str, Any]) -> None:
    from integrity.undo import undo

    rule = registry.get(call["rule"]) if call.get("rule") else None
    keys = None
    if rule and run.keys is not None:
        keys = [rule.key_from_json(key) for key in run.keys[rule.label]]
    undo(_of(run), rule=rule, keys=keys, dry_run=run.dry_run, actor=run.actor, reason=run.reason)


def _enforce(run: Run, call: dict[str, Any]) -> None:
    from integrity.enforce import enforce

    rules = [registry.get(label) for label in call["rules"]]
    enforce(
        rules,
        remove=call["remove"],
        accept_dirty=call.get("accept_dirty", False),
        dry_run=run.dry_run,
        actor=run.actor,
        reason=run.reason,
    )


def _import(run: Run, call: dict[str, Any]) -> None:
    from integrity.importing.known import imports
    from integrity.importing.verb import run_import

    given = call["given"]
    run_import(
        imports.get(call["import"]),
        Path(given) if isinstance(given, str) else {name: Path(path) for name, path in given.items()},
        only=call["only"],
        dry_run=run.dry_run,
        batch_size=call.get("batch_size"),
        error_budget=call["error_budget"],
        actor=run.actor,
        reason=run.reason,
    )


def _of(run: Run) -> int:
    assert run.of_id is not None
    return run.of_id


def _keys(run: Run, rules: list[Rule]) -> Keys:
    kept = run.keys or {}
    return {rule.label: [rule.key_from_json(key) for key in kept[rule.label]] for rule in rules if rule.label in kept}


VERBS: dict[Run.Verb, Callable[[Run, dict[str, Any]], None]] = {
    Run.Verb.ANALYZE: _analyze,
    Run.Verb.REPAIR: _repair,
    Run.Verb.VERIFY: _verify,
    Run.Verb.UNDO: _undo,
    Run.Verb.ENFORCE: _enforce,
    Run.Verb.IMPORT: _import,
}
