"""Slice: the domains that a tenant sends from."""
