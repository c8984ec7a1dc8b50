"""Slice: a tenant from its suspension to its end."""
