"""Slice: what operators of the platform see of tenants, and do to them."""
