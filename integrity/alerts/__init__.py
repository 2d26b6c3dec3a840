"""Telling people when the state of a rule changes, and only then: decided with the run, delivered by whoever sends."""
