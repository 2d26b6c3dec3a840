"""The engine's face in the administration, themed or stock: it shows records, and asks verbs."""

from integrity.admin import alerts, apikeys, changes, declared, imports, quarantine, results, runs, traces, violations

__all__ = [
    "alerts",
    "apikeys",
    "changes",
    "declared",
    "imports",
    "quarantine",
    "results",
    "runs",
    "traces",
    "violations",
]
