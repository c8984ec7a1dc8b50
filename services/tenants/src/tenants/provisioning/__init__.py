"""Slice: sign-up, a saga over events."""
