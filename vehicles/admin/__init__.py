"""The administration of vehicles: it shows, and calls one verb for whatever is written."""

from vehicles.admin import anomalies, audit, fleet, log, reminders

__all__ = ["anomalies", "audit", "fleet", "log", "reminders"]
