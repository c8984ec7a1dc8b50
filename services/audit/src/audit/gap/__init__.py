"""Slice: numbers of events that the log lacks."""
