"""Slice: mails and their durable queue."""
