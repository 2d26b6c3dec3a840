"""The overview as the first page of the administration shows it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from integrity.admin.base import badge, rule_link, run_link, verbs_of, when
from integrity.overview import overview
from integrity.overview.cards import cards
from integrity.overview.charts import of_apps, spark
from integrity.permissions import may

BROKEN_SHOWN, ALERTS_SHOWN = 12, 8


def dashboard_context(request: HttpRequest) -> dict[str, Any]:
    """What the templates of the overview need; ``overview`` is None for somebody who may not read the records."""
    if not may(request.user, "read"):
        return {"overview": None}
    found = overview()
    broken = found.broken
    return {
        "overview": found,
        "status": badge(found.status),
        "chart": of_apps(found.history),
        "broken": [_broken(one) for one in broken[:BROKEN_SHOWN]],
        "broken_hidden": len(broken) - BROKEN_SHOWN if len(broken) > BROKEN_SHOWN else 0,
        "not_checked": [(rule_link(one.rule.label), one.why) for one in found.not_checked],
        "turns": [_turn(one) for one in found.turns],
        "runs": [_run(run) for run in found.runs],
        "alerts": [(badge(one.what), rule_link(one.rule), when(one.since)) for one in found.alerts[:ALERTS_SHOWN]],
        "imports": [_import(one) for one in found.imports],
        "since": when(found.since),
        "oldest": when(found.oldest),
        "forecasts": [(rule_link(rule.label), str(ahead)) for rule, ahead in found.forecasts],
        "asked_at": when(found.kept.at),
        "waiting": [(rule_link(one.rule.label), badge(one.word), one.why) for one in found.kept.waiting],
        "cards": cards(request.user.has_perm),
        **verbs_of(request),
    }


def _broken(one: Any) -> dict[str, Any]:
    return {
        "rule": one.rule,
        "link": rule_link(one.rule.label),
        "violations": one.violations,
        "checked": one.look.checked,
        "since": when(one.since),
        "spark": spark(one.trend),
    }


def _turn(one: Any) -> dict[str, Any]:
    before, after = one.before.violations, one.after.violations
    if not after:
        what, tone = "holds again", "good"
    elif not before:
        what, tone = f"broken by {after:,}", "bad"
    else:
        what, tone = f"{before:,} → {after:,}", "bad" if after > before else "good"
    return {"link": rule_link(one.standing.rule.label), "what": what, "tone": tone, "at": when(one.at)}


def _run(run: Any) -> dict[str, Any]:
    from integrity.admin.runs import about, verb_of

    return {
        "link": run_link(run.pk, f"{run.pk}"),
        "verb": verb_of(run),
        "status": badge(run.status),
        "about": about(run),
        "found": run.found,
        "wrote": run.wrote,
        "actor": run.actor,
        "at": when(run.started_at),
    }


def _import(one: Any) -> dict[str, Any]:
    run = one.run
    if run is None:
        return {"label": one.label, "status": badge("never"), "at": None, "link": None}
    return {"label": one.label, "status": badge(run.status), "at": when(run.started_at), "link": run_link(run.pk)}
