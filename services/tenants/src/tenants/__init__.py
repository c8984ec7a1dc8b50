"""Service `tenants`."""
