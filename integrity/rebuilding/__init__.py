"""Rebuilding a table beside itself, and taking that back: its steps and what they need."""
