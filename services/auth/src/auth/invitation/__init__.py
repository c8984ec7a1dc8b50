"""Slice: inviting people into a tenant."""
