"""Slice: what a tenant may send in a month."""
