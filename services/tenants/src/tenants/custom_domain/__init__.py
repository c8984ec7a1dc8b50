"""Slice: the host name of its own that a tenant's links have."""
