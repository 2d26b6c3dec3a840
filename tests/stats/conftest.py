"""Both tables alive within a test's transaction, as they are before anything is copied."""

import pytest

from integrity.consolidation.retiring import bring_back, keep_equal_no_longer
from integrity.registry import registry


@pytest.fixture
def rule():
    return registry.get("stats.core_stats_agree")


@pytest.fixture
def both(db, rule):
    """The old table is back, and nothing keeps it equal to the new one."""
    bring_back(rule)
    keep_equal_no_longer(rule)
    return rule
