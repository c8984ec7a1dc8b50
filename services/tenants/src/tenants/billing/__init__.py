"""Slice: the Stripe customer and subscription."""
