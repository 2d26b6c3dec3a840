"""The administration of riders: it shows, and calls one verb for whatever writes kilometres."""

from players.admin import corrections, devices, groups, history, keys, players, sessions

__all__ = ["corrections", "devices", "groups", "history", "keys", "players", "sessions"]
