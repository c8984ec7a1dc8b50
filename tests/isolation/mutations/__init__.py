"""Deliberate breakages of schema and code, each of which must turn the isolation tests red."""
