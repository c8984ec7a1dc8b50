"""Settings of the service."""

from common.settings import ServiceSettings


class AuditSettings(ServiceSettings):
    ingest_database_url: str = ""
    """libpq URL of the `audit_ingest` role; needed by the consumer only."""
    audit_retention_days: int = 400
    """Events older than this are not taken into the log any more."""
