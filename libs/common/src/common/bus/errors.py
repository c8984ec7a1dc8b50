"""Ways for a handler to fail. Anything else it raises is a bug (poison) and is retried a few times."""


class Invalid(Exception):
    """The event can never be handled: dead letter at once."""


class Transient(Exception):
    """A dependency is away: try again until it is back, skipping nothing."""
