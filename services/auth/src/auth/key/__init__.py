"""Slice: the keys that sign access tokens, and their publication."""
