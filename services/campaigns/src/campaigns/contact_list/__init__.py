"""Slice: named lists of contacts."""
