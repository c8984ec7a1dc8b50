"""Service `audit`."""
