"""Slice: operators of the platform, and their log-in."""
