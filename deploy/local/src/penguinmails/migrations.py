"""Databases, roles and schemas of all services: `python -m penguinmails.migrations HOME`.

Runs at each start before the services and on `penguinmails migrate`; doing it again changes nothing.
"""

import asyncio
import os
import sys
from pathlib import Path

from common.db.provision import provision_database
from penguinmails import config
from penguinmails.config import Config
from penguinmails.credentials import SERVICES
from penguinmails.home import Home


async def migrate_all(settings: Config) -> dict[str, int]:
    """The exit status of each service's migration."""
    results = await asyncio.gather(*(_migrate(settings, service) for service in SERVICES))
    return dict(zip(SERVICES, results, strict=True))


async def _migrate(settings: Config, service: str) -> int:
    await provision_database(settings.superuser_dsn, service, settings.credentials.roles_of(service))
    environment = {**os.environ, **settings.migration_environment(service)}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", service, "migrate", env=environment, cwd=settings.home.root
    )
    return await process.wait()


def main() -> None:
    results = asyncio.run(migrate_all(config.load(Home(Path(sys.argv[1])))))
    for service, status in results.items():
        print(f"{service}: {'up to date' if status == 0 else f'failed with status {status}'}", flush=True)
    sys.exit(any(results.values()))


if __name__ == "__main__":
    main()
