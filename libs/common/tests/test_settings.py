"""Where settings come from: the environment, and a folder of secrets."""

from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from common.db.provision import passwords_in
from common.operators import from_environment
from common.settings import OwnerSettings, ServiceSettings
from common.web.service_tokens import CalledSettings

SECRETS = {
    "database_url": "postgresql://campaigns_app@db/campaigns\n",
    "tenancy_key": "aa" * 32,
    "link_secret": "bb" * 32,
    "service_public_keys": '{"tenants": "-----BEGIN PUBLIC KEY-----\\nMFk\\n-----END PUBLIC KEY-----\\n"}',
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Secrets as files, and nothing of them in the environment."""
    for name, value in SECRETS.items():
        monkeypatch.delenv(name.upper(), raising=False)
        (tmp_path / name).write_text(value)
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    return tmp_path


def test_secrets_are_read_from_files(folder: Path) -> None:
    settings = from_environment(CalledSettings)
    assert settings.database_url == "postgresql://campaigns_app@db/campaigns"
    assert settings.tenancy_key.get_secret_value() == "aa" * 32
    assert settings.service_public_keys["tenants"].startswith("-----BEGIN PUBLIC KEY-----\n")


def test_the_environment_wins(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LINK_SECRET", "cc" * 32)
    assert from_environment(ServiceSettings).link_secret.get_secret_value() == "cc" * 32


def test_migrations_read_the_same_folder(folder: Path) -> None:
    (folder / "owner_database_url").write_text("postgresql://campaigns_owner@db/campaigns")
    assert from_environment(OwnerSettings).owner_database_url.endswith("@db/campaigns")


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path / "missing"))
    with pytest.raises(SettingsError, match="no folder"):
        from_environment(ServiceSettings)


def test_a_secret_that_is_nowhere_is_missed(folder: Path) -> None:
    (folder / "tenancy_key").unlink()
    with pytest.raises(ValueError, match="tenancy_key"):
        from_environment(ServiceSettings)


def test_passwords_of_roles_are_those_of_their_urls() -> None:
    urls = [f"postgresql://tenants_{kind}:p%40{kind}@db:5432/tenants" for kind in ("owner", "app", "relay")]
    passwords = {"tenants_owner": "p@owner", "tenants_app": "p@app", "tenants_relay": "p@relay"}
    assert passwords_in("tenants", urls) == passwords
    for wrong in (
        urls[:2],
        [*urls, "postgresql://postgres:pw@db/tenants"],
        [*urls[:2], urls[2].replace(":p%40relay", "")],
    ):
        with pytest.raises(ValueError, match="tenants_owner, tenants_app, tenants_relay"):
            passwords_in("tenants", wrong)
