"""Slice: events of every service become rows of the log."""
