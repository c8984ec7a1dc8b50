"""Slice: who works in a workspace."""
