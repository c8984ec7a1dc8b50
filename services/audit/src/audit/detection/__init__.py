"""Slice: whose resource was it, and what follows."""
