"""Sessions bound to one tenant, proven inside the database."""
