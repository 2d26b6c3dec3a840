"""What the records tell of the data without looking at them: which rules hold, since when not, what changed."""

from integrity.overview.cards import Card, card
from integrity.overview.standing import Standing, standings
from integrity.overview.whole import Overview, overview

__all__ = ["Card", "Overview", "Standing", "card", "overview", "standings"]
