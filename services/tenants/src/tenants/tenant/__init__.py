"""Slice: the tenant itself, its settings."""
