"""Slice: the users themselves."""
