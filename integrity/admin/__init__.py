"""The engine's face in the administration, themed or stock: it shows records, and asks verbs."""

from integrity.admin import apikeys, changes, declared, quarantine, results, runs, traces, violations

__all__ = ["apikeys", "changes", "declared", "quarantine", "results", "runs", "traces", "violations"]
