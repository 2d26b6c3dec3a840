"""The kinds of truth, a file each."""
