"""The engine's API, a router that any project with django-ninja mounts: ``api.add_router("/integrity", router)``.

``integrity.api.problems.answer_problems(api)`` lets it answer refusals as problems (RFC 9457).
"""

from integrity.api.routing import router

# Each adds its operations.
from integrity.api import alerts, health, rules, runs, verbs, violations  # isort: skip

__all__ = ["alerts", "health", "router", "rules", "runs", "verbs", "violations"]
