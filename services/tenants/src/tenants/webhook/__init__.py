"""Slice: what Stripe tells of itself."""
