"""Reports for programs (JSON, CSV) and for people (tables)."""
