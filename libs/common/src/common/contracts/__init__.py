"""Every event on the wire, declared once. Importing this package completes the registry."""

from common.contracts import audit, auth, campaigns, operations, tenants, workspaces
from common.contracts.envelope import Actor, Envelope, Event, Meta, registry

__all__ = [
    "Actor",
    "Envelope",
    "Event",
    "Meta",
    "audit",
    "auth",
    "campaigns",
    "operations",
    "registry",
    "tenants",
    "workspaces",
]
