"""Slice: the users of a tenant, as its owners and admins manage them."""
