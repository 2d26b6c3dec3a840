"""What the phases of a consolidation do: point references elsewhere, prove and retire a table, bring it back."""

PHASES = ("copy", "verify", "references", "cleanup", "rollback")
