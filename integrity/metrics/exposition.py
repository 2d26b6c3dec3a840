"""All metrics together, as text."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from integrity.importing.known import imports
from integrity.metrics.rules import of_rules
from integrity.metrics.runs import of_alerts, of_imports, of_queue, of_runs
from integrity.registry import registry


class Records(Collector):
    """Reads the records anew for each scrape: they are the same for all processes, which share them."""

    def collect(self) -> Iterable[Metric]:
        """Every family."""
        declared = list(imports)
        yield from of_rules(list(registry), declared)
        yield from of_runs()
        yield from of_imports(declared)
        yield from of_queue()
        yield from of_alerts()

    def describe(self) -> Iterable[Metric]:
        """Nothing is read where a registry only asks for names."""
        return ()


def exposition(accept: str = "") -> tuple[bytes, str]:
    """The text and its media type, in the format that ``accept`` (the header of that name) prefers."""
    encode, media_type = choose_encoder(accept)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Records())
    return encode(registry), media_type
