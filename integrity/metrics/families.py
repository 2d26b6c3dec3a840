"""Families of samples in the words of Prometheus, made of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily

PREFIX = "integrity_"
Rows = Iterable[tuple[Sequence[Any], float | None]]
"""The values of the labels, and that of the sample; None where it is not known, which gives no sample."""


def gauge(name: str, told: str, labels: Sequence[str], rows: Rows) -> Metric:
    """What may rise and fall."""
    return _filled(GaugeMetricFamily(PREFIX + name, told, labels=labels), rows)


def counter(name: str, told: str, labels: Sequence[str], rows: Rows) -> Metric:
    """What only grows; Prometheus sees it as ``name``_total."""
    return _filled(CounterMetricFamily(PREFIX + name, told, labels=labels), rows)


def summary(
    name: str, told: str, labels: Sequence[str], rows: Iterable[tuple[Sequence[Any], int, float]]
) -> SummaryMetricFamily:
    """How many there were, and their sum."""
    family = SummaryMetricFamily(PREFIX + name, told, labels=labels)
    for values, number, total in rows:
        family.add_metric([str(value) for value in values], number, total)
    return family


def seconds(at: datetime | None) -> float | None:
    """A time as Prometheus counts it, from which it tells an age."""
    return None if at is None else at.timestamp()


def _filled(family: Any, rows: Rows) -> Metric:
    for values, sample in rows:
        if sample is not None:
            family.add_metric([str(value) for value in values], float(sample))
    filled: Metric = family
    return filled
