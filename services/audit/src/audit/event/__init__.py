"""Slice: reading the log."""
