"""The local stack and the operator command."""
