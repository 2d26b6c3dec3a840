"""Inside an undo: how much of a run comes back, and how rows do."""
