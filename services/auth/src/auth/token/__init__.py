"""Slice: issuing tokens to other services on behalf of a user."""
