"""Measurements of the event backbone, each beside what bare Kafka clients do on the same broker."""
