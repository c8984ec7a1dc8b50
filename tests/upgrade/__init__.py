"""Whether the release before this code works on this code's schema, and beside it: `make upgrade-check`."""
