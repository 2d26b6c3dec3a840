"""Runs that worker processes perform: put off, shared by many, looked after when one dies."""
