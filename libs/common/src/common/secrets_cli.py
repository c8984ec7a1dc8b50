"""`python -m SERVICE secrets …`: secrets at rest, and how they get a new key; prints JSON."""

from collections import Counter

import typer

from common.operators import By, from_environment, opened, run, say
from common.resealing import Resealing, count_by_key, tenants_of
from common.sealing import SealingSettings
from common.service import Service


def secrets_commands(service: Service) -> typer.Typer:
    """The sub-commands of a service that has secrets."""
    app = typer.Typer(no_args_is_help=True, help="Secrets at rest and their keys; prints JSON.")

    @app.command("list")
    def list_secrets() -> None:
        """How many secrets each key has sealed."""
        run(_list(service))

    @app.command()
    def reseal(by: By) -> None:
        """Seal with the current key what others have sealed; status 1 when something does not open."""
        run(_reseal(service, by))

    _ = (list_secrets, reseal)
    return app


def settings_of(service: Service) -> SealingSettings:
    """The settings of a service that has secrets, from the environment."""
    settings = from_environment(service.settings)
    if not isinstance(settings, SealingSettings):
        raise TypeError(f"{service.name} has no KEY_ENCRYPTION_KEY")
    return settings


async def count_secrets(service: Service, settings: SealingSettings) -> dict[str, Counter[str]]:
    """How many secrets of each kind each key has sealed."""
    async with opened(settings) as database:
        return {
            sealed.kind: await count_by_key(
                service.name, database, sealed, await tenants_of(settings, sealed)
            )
            for sealed in service.sealed
        }


async def _list(service: Service) -> None:
    settings = settings_of(service)
    keys = settings.encryption_keys
    for kind, counts in (await count_secrets(service, settings)).items():
        for key_id, count in sorted(counts.items()):
            old = "older" if keys.knows(key_id) else "missing"
            key = "current" if key_id == keys.current else old
            say({"kind": kind, "sealed_with": key_id, "key": key, "count": count})


async def _reseal(service: Service, by: str) -> None:
    settings = settings_of(service)
    failed = False
    async with opened(settings) as database:
        resealing = Resealing(service.name, database, settings.encryption_keys, by)
        for sealed in service.sealed:
            tenants, place, count = await tenants_of(settings, sealed), 0, 0
            unreadable: list[str] = []
            async for done in resealing.run(sealed, tenants):
                place, count = place + 1, count + done.count
                unreadable += done.unreadable
                say({"progress": {"done": place, "total": len(tenants)}})
            say({"kind": sealed.kind, "resealed": count, "unreadable": unreadable})
            failed = failed or bool(unreadable)
    if failed:
        raise typer.Exit(1)
