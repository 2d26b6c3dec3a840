"""What a deployment may set; nothing else of this app reads Django's settings."""

from django.conf import settings

MAX_MILES_PER_DAY: int = getattr(settings, "VEHICLES_MAX_MILES_PER_DAY", 1500)
"""Growth of a reading above this, for each day that passed, is an anomaly."""
