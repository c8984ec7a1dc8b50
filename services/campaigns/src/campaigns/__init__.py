"""Service `campaigns`."""
