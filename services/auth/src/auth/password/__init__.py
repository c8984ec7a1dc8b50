"""Slice: setting a password."""
