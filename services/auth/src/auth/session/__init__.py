"""Slice: sessions of a user, and their end."""
