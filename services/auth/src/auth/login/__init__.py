"""Slice: logging in with a password."""
