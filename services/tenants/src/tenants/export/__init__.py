"""Slice: exports of all that is a tenant's."""
