"""metrics: what Prometheus reads, for a machine on which it reads files and not addresses."""

from __future__ import annotations

from typing import Any

from integrity.exceptions import UsageError
from integrity.management.base import EngineCommand
from integrity.management.verbs.base import Verb


def _arguments(parser: Any) -> None:
    """None of its own."""


def _perform(command: EngineCommand, options: dict[str, Any]) -> None:
    try:
        from integrity.metrics.exposition import exposition
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("prometheus_client"):
            raise UsageError('Metrics need prometheus-client: pip install "holdtrue[metrics]".') from error
        raise
    text, _ = exposition()
    command.stdout.write(text.decode(), ending="")


VERB = Verb(
    "metrics",
    "Print what Prometheus reads: rules, runs, enforcement, imports and the queue, from the records.",
    "manage.py integrity metrics > /var/lib/prometheus/node-exporter/integrity.prom",
    _arguments,
    _perform,
)
