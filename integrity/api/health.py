"""How much of what is declared holds, as the records tell it: cheap enough to ask every minute."""

from typing import Any

from django.http import HttpRequest
from ninja import Query

from integrity.api.answers import HealthOut
from integrity.api.asked import HealthIn
from integrity.api.problems import Refusal
from integrity.api.routing import operations
from integrity.health import as_object, recorded_health
from integrity.importing.known import imports
from integrity.registry import registry


@operations.get("/health", "Health", out=HealthOut)
def show_health(request: HttpRequest, asked: Query[HealthIn]) -> dict[str, Any]:
    """By rule and by app, with a score and its formula. No rule is looked at: what was not looked at in time is told as
    not checked, and never as healthy. To look now, ask `/analyze`.
    """
    rules = [rule for rule in registry if asked.app in (None, rule.app)]
    if not rules and asked.app is not None:
        known = ", ".join(sorted({rule.app for rule in registry}))
        raise Refusal(422, f"Unknown app {asked.app!r}. Known: {known}.", "app")
    apps = {rule.app for rule in rules}
    return as_object(recorded_health(rules, [one for one in imports if one.app in apps]))
