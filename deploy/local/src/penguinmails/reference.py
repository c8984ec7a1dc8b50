"""The pages and documents that are made from all services together: `penguinmails api-document`."""

import importlib
import json
import os
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path

from fastapi import FastAPI

from common.cli import build_kernel
from common.service import Service
from common.web.compatibility import breaks
from common.web.openapi import merged_document, operations
from penguinmails import api_page, config, errors_page
from penguinmails.credentials import SERVICES
from penguinmails.home import Home

DOCUMENT = Path("services/tenants/src/tenants/reference/openapi.json")
"""Inside the package of the service that serves it; `docs/openapi.json` links to it."""

TABLE = Path("docs/api.md")
ERRORS = Path("docs/errors.md")
RELEASED = Path("docs/openapi.released.json")
"""The document clients were given last; later ones may add to it only."""


def applications() -> dict[str, FastAPI]:
    """The applications of all services, with nothing behind them."""
    with tempfile.TemporaryDirectory() as folder:
        settings = config.prepare(Home(Path(folder)), None, {})
        return {name: _application(name, settings.service_environment(name)) for name in SERVICES}


def _application(name: str, environment: Mapping[str, str]) -> FastAPI:
    service: Service = importlib.import_module(f"{name}.__main__").SERVICE
    with _surroundings(environment):
        return service.create_app(build_kernel(service, service.settings.model_validate({})))


@contextmanager
def _surroundings(environment: Mapping[str, str]) -> Generator[None]:
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def pages() -> dict[Path, str]:
    """What is made, by its path in the repository."""
    apps = applications()
    document = json.dumps(merged_document(apps), indent=1, ensure_ascii=False) + "\n"
    table = api_page.render(one for name, app in apps.items() for one in operations(name, app))
    return {DOCUMENT: document, TABLE: table, ERRORS: errors_page.render()}


def write(root: Path) -> None:
    for path, page in pages().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(page, encoding="utf-8")


def stale(root: Path) -> list[str]:
    """What is missing or differs from what the code says."""
    made = pages().items()
    return [
        str(path)
        for path, page in made
        if not (root / path).is_file() or (root / path).read_text(encoding="utf-8") != page
    ]


def breaking(root: Path) -> list[str]:
    """What in the committed document would break clients of the released one."""
    return breaks(json.loads((root / RELEASED).read_text()), json.loads((root / DOCUMENT).read_text()))


def release(root: Path) -> None:
    """From now on clients may rely on the committed document."""
    (root / RELEASED).write_bytes((root / DOCUMENT).read_bytes())
