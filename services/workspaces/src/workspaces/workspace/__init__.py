"""Slice: the workspaces themselves."""
