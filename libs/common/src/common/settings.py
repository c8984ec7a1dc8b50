"""Settings of every service, read from the environment once by the composition root."""

from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class ServiceSettings(BaseSettings):
    """What each service needs; a service adds its own fields in a subclass.

    Durations are seconds unless the name says otherwise.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    service_host: str = "127.0.0.1"
    service_port: int = 8000

    database_url: str = Field(description="libpq URL of the `<service>_app` role")
    relay_database_url: str = Field(
        default="", description="libpq URL of the `<service>_relay` role (outbox, consumer positions)"
    )
    database_pool_size: int = 10
    database_pool_timeout: float = 5.0
    pooler_mode: str = Field(
        default="session",
        pattern="^(session|transaction)$",
        description="`transaction` when a transaction pooler (PgBouncer) stands in between",
    )

    tenancy_key: SecretStr = Field(description="hex; proves to the database that the service enters a tenant")
    link_secret: SecretStr = Field(description="hex; signs cursors and links")

    kafka_bootstrap_servers: str = "127.0.0.1:9092"
    kafka_idempotence: bool = True
    kafka_replication_factor: int = 1
    kafka_fetch_wait_ms: int = Field(
        default=100, description="the longest a broker may hold a fetch; 50 while records come"
    )
    event_retention_days: int = 7
    dead_letter_limit: int = Field(default=100, description="more dead letters a minute stop a consumer")

    jwks_url: str = "http://127.0.0.1:8001/.well-known/jwks.json"
    token_issuer: str = "http://127.0.0.1:8080"  # noqa: S105 - an issuer, not a secret
    token_audience: str = "penguinmails"  # noqa: S105
    platform_audience: str = Field(
        default="penguinmails-platform", description="audience of operators' tokens, never that of users'"
    )
    public_url: AnyHttpUrl = AnyHttpUrl("http://127.0.0.1:8080")

    files_url: str = Field(
        default_factory=lambda: Path("files").resolve().as_uri(),
        description="where files are kept: `file:///…`, or `s3://bucket/…` with the provider's own variables",
    )

    rate_limit_url: str = Field(
        default="",
        pattern="^$|^(valkey|redis)s?://",
        description="Valkey or Redis in which all replicas count requests; empty: each counts its own",
    )

    otel_exporter_otlp_endpoint: str = ""
    trace_ratio: float = 1.0
    log_level: str = "INFO"
