"""Slice: campaigns, so far as drafts."""
