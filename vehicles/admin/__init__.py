"""The administration of vehicles: it shows, and calls one verb for whatever is written."""

from vehicles.admin import anomalies, audit, cards, fleet, log, reminders

__all__ = ["anomalies", "audit", "cards", "fleet", "log", "reminders"]
