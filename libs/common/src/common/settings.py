"""Settings of every service, read once by the composition root."""

import os
from pathlib import Path

from pydantic import AnyHttpUrl, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    SettingsError,
)


class Settings(BaseSettings):
    """Read from the environment, and from the files in the folder that SECRETS_DIR names: each holds the
    value of the setting that it is called like. What is in both is taken from the environment.
    """

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Raises SettingsError when SECRETS_DIR names no folder: defaults must not stand in for secrets."""
        folder = os.environ.get("SECRETS_DIR", "")
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SettingsError(f"SECRETS_DIR names {folder}, which is no folder")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)


class OwnerSettings(Settings):
    """What migrations need: the owner's connection, which no running service has."""

    owner_database_url: str = Field(description="libpq URL of the `<service>_owner` role")
    tenancy_key: SecretStr


class ProvisionSettings(OwnerSettings):
    """What making the database and its roles needs: the roles' names and passwords are those of the URLs."""

    superuser_database_url: str
    database_url: str
    relay_database_url: str
    ingest_database_url: str = ""

    def role_urls(self) -> list[str]:
        """The connections of all roles of the service."""
        urls = (self.owner_database_url, self.database_url, self.relay_database_url, self.ingest_database_url)
        return [url for url in urls if url]


class ServiceSettings(Settings):
    """What each service needs; a service adds its own fields in a subclass.

    Durations are seconds unless the name says otherwise.
    """

    service_host: str = "127.0.0.1"
    service_port: int = 8000
    health_port: int = Field(
        default=0, description="where a process without the role `serve` answers probes; 0: nowhere"
    )

    drain_seconds: float = Field(
        default=5.0,
        ge=0,
        description="how long a process that was told to stop still serves while it answers that it is not "
        "ready; longer than a gateway needs to notice",
    )

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
    metric_interval: float = Field(default=10.0, gt=0, description="between two exports of metrics")
    log_level: str = "INFO"
