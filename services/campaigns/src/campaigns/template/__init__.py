"""Slice: what campaigns say, as templates."""
