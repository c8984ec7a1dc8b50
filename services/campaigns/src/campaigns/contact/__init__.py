"""Slice: the people that campaigns are sent to."""
