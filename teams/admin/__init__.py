"""The administration of teams: what the provider brings, what members wrote, and what of it points nowhere."""

from teams.admin import league, written

__all__ = ["league", "written"]
