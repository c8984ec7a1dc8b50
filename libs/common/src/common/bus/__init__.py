"""The event backbone: outbox, relay, inbox, consumer."""
