"""Slice: refreshing tokens, with rotation and detection of reuse."""
