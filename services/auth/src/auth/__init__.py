"""Service `auth`."""
