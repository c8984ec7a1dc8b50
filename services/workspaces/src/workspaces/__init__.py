"""Service `workspaces`."""
