"""What a worker does with a part: takes it, sees to it, and says what came of it, whatever that is."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections

from integrity import leases
from integrity.exceptions import EngineError, LostRun, Paused, Refused, sentence
from integrity.models import Part, Run
from integrity.observer import Observer
from integrity.workers import parts
from integrity.workers.part_analysis import conclude, look_at, look_at_whole
from integrity.workers.part_repair import PartRepair, RepairConclusion

logger = logging.getLogger(__name__)


def work_on(number: int, observer: Observer | None = None) -> None:
    """See to a part, and to the end of its run where it was the last. One that is not ours to take is left alone."""
    part = parts.take(number)
    if part is not None:
        _see_to(part, observer or Observer())
    run = Part.objects.filter(pk=number).values_list("run", flat=True).first()
    last = None if run is None else parts.end_of(run)
    if last is not None and last != number:
        work_on(last, observer)


def _see_to(part: Part, observer: Observer) -> None:
    try:
        try:
            with leases.Heartbeat(part):
                _work_of(part)(part, observer)
        except Paused:
            parts.leave(part)
        except Refused as refused:
            if isinstance(refused, LostRun):
                raise
            _told(parts.stop, part, refused)
        except (DatabaseError, InterfaceError, OSError) as error:
            # A connection that was lost, a server that is full: another attempt may find it otherwise.
            logger.warning("%s is tried again: %s", part, sentence(error))
            _told(parts.leave, part, error)
        except Exception as error:
            # A rule may call functions of its app, which may raise anything.
            logger.exception("%s cannot be done", part)
            _told(parts.give_up, part, error)
    except LostRun as lost:
        logger.warning("%s", lost)


def _told(tell: Callable[[Part, str], None], part: Part, error: Exception) -> None:
    connection = connections[DEFAULT_DB_ALIAS]
    # One that broke is replaced, so that this can be written down; not one in a test's own transaction.
    if not connection.in_atomic_block:
        connection.close_if_unusable_or_obsolete()
    known = isinstance(error, EngineError | DatabaseError)
    tell(part, sentence(error) if known else f"{type(error).__name__}: {sentence(error)}")


def _work_of(part: Part) -> Callable[[Part, Observer], None]:
    if part.run.verb == Run.Verb.REPAIR:
        return _conclude_repair if part.kind == parts.END else _repair
    return {parts.END: conclude, parts.WHOLE: look_at_whole, parts.KEYS: look_at}[part.kind]


def _repair(part: Part, observer: Observer) -> None:
    PartRepair(part, observer).perform_part()


def _conclude_repair(part: Part, observer: Observer) -> None:
    RepairConclusion(part, observer).perform_part()
