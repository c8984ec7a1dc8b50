"""Slice: the Stripe customer and subscription, kept as the tenant and Stripe want them."""
