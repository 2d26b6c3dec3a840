"""The verbs, put off: the run is there at once, with its number, and a worker process performs it.

The row of the run and the errand to perform it are committed together, with whatever else the transaction of the
caller does. All of these raise UsageError where there is no queue, or for what the verb itself would refuse at once.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from integrity import events, records, statuses
from integrity.exceptions import UsageError
from integrity.importing.declarations import Import
from integrity.keys import Key, Keys, by_label, stored
from integrity.models import Run
from integrity.rules.base import Rule
from integrity.safety import Brake
from integrity.undoing.extent import Extent, undoable
from integrity.workers import queue

CALL = "call"
"""In the options of a run: what its verb is to be called with."""


def analyze(
    rules: Iterable[Rule],
    *,
    keys: Keys = None,
    using: str = DEFAULT_DB_ALIAS,
    actor: str | None = None,
    reason: str = "",
) -> Run:
    """Put an analysis off. Large tables are divided among the workers."""
    chosen = list(rules)
    kept = stored(chosen, by_label(chosen, keys))
    call = {"rules": [rule.label for rule in chosen]}
    return _put_off(Run.Verb.ANALYZE, call, database=using, keys=kept, actor=actor, reason=reason)


def repair(
    work: Iterable[tuple[Rule, str | None]],
    *,
    keys: Keys = None,
    dry_run: bool = False,
    max_affected: str | None = None,
    actor: str | None = None,
    reason: str = "",
) -> Run:
    """Put a repair, or its dry run, off. One rule of which many keys break it is divided among the workers."""
    Brake.declared(max_affected)
    chosen = [(rule, rule.strategy(strategy)[0]) for rule, strategy in work]
    rules = [rule for rule, _ in chosen]
    return _put_off(
        Run.Verb.REPAIR,
        {"work": [[rule.label, strategy] for rule, strategy in chosen], "max_affected": max_affected},
        keys=stored(rules, by_label(rules, keys)),
        dry_run=dry_run,
        actor=actor,
        reason=reason,
    )


def verify(of: Run, *, actor: str | None = None, reason: str = "") -> Run:
    """Put the verification of a run off."""
    return _put_off(Run.Verb.VERIFY, {}, of=of, actor=actor, reason=reason)


def undo(
    of: Run,
    *,
    rule: Rule | None = None,
    keys: Sequence[Key] | None = None,
    dry_run: bool = False,
    actor: str | None = None,
    reason: str = "",
) -> Run:
    """Put the undo of a run off, or of what it wrote for one rule, or for some keys of that."""
    extent = Extent(rule, keys)
    if of.status != statuses.QUEUED:
        undoable(of.pk, extent)
    call = {"rule": rule.label if rule else None}
    return _put_off(Run.Verb.UNDO, call, of=of, keys=extent.stored(), dry_run=dry_run, actor=actor, reason=reason)


def enforce(
    rules: Iterable[Rule],
    *,
    remove: bool = False,
    dry_run: bool = False,
    accept_dirty: bool = False,
    actor: str | None = None,
    reason: str = "",
) -> Run:
    """Put off giving the database, or ridding it of, what keeps rules true."""
    call = {"rules": [rule.label for rule in rules], "remove": remove, "accept_dirty": accept_dirty}
    return _put_off(Run.Verb.ENFORCE, call, dry_run=dry_run, actor=actor, reason=reason)


def run_import(
    wanted: Import,
    given: Path | Mapping[str, Path],
    *,
    only: str | None = None,
    dry_run: bool = False,
    batch_size: int | None = None,
    error_budget: int | None = None,
    discard: bool = False,
    actor: str | None = None,
    reason: str = "",
) -> Run:
    """Put an import off.

    given: where the workers find the folder, the file, or a file for each feed: on their machine or on one that they
    share. discard: the files are removed when the import has ended, however it ended.
    """
    files = {name: str(path) for name, path in given.items()} if isinstance(given, Mapping) else str(given)
    for name in given if isinstance(given, Mapping) else ():
        wanted.feed(name)
    call: dict[str, Any] = {"import": wanted.label, "given": files, "only": only, "discard": discard}
    call |= {"batch_size": batch_size, "error_budget": error_budget}
    return _put_off(Run.Verb.IMPORT, call, dry_run=dry_run, actor=actor, reason=reason)


def _put_off(verb: Run.Verb, call: dict[str, Any], *, actor: str | None, **fields: Any) -> Run:
    queue.require()
    of = fields.get("of")
    if of is not None and of.status == statuses.QUEUED:
        raise UsageError(f"Run {of.pk} has not begun; there is nothing to {verb}.")
    now = timezone.now()
    with transaction.atomic():
        run = Run.objects.create(
            verb=verb,
            status=statuses.QUEUED,
            actor=actor or records.default_actor(),
            options={CALL: call, "columns": {}, "triggers": []},
            host=socket.gethostname(),
            pid=os.getpid(),
            started_at=now,
            heartbeat_at=now,
            **{"database": DEFAULT_DB_ALIAS, **fields},
        )
        queue.put("perform", [{"run": run.pk}], [f"integrity run {run.pk}"])
    events.put_off(run)
    return run
