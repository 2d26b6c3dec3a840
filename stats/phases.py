"""The phases of the consolidation as people ask for them."""

from integrity.consolidate import consolidate
from integrity.observer import Observer
from integrity.registry import registry
from integrity.reports import Report
from stats.reading import fallbacks

AGREE, LEGACY_LEVEL = "stats.core_stats_agree", "stats.legacy_level_follows_experience"


def perform(
    phase: str,
    *,
    prefer: str = "newest",
    dry_run: bool = False,
    actor: str | None = None,
    reason: str = "",
    sample: int = 20,
    observer: Observer | None = None,
) -> Report:
    """One phase; the levels of the old table are put right before anything is copied.

    What ``verify`` answers tells as well how often readers still needed the old table.
    """
    report = consolidate(
        registry.get(AGREE),
        phase,
        strategy=prefer,
        first=[(registry.get(LEGACY_LEVEL), "recompute")],
        dry_run=dry_run,
        actor=actor,
        reason=reason,
        sample=sample,
        observer=observer,
    )
    if phase == "verify":
        report.rules[-1].notes.append(fallbacks().told())
    return report
