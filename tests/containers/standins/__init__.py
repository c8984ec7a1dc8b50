"""Images under the names of published ones, made of what the local stack runs."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import yaml

from penguinmails import binaries
from penguinmails.home import REPOSITORY
from tests.containers.engine import Engine, Unable

BASE = "penguinmails-check/base"
_HERE = Path(__file__).parent
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_RELEASE = "bookworm"


def make_base(archive: Path) -> None:
    """A small Debian, kept between runs; it trusts whom this machine trusts."""
    if archive.exists():
        return
    archive.parent.mkdir(parents=True, exist_ok=True)
    root, draft = archive.with_suffix(".root"), archive.with_suffix(".draft")
    shutil.rmtree(root, ignore_errors=True)
    command = ["debootstrap", "--variant=minbase", "--include=ca-certificates", _RELEASE, str(root)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    if _CERTIFICATES.exists():
        shutil.copy(_CERTIFICATES, root / _CERTIFICATES.relative_to("/"))
    subprocess.run(["tar", "-C", str(root), "-cf", str(draft), "."], check=True)
    draft.rename(archive)
    shutil.rmtree(root)


def published_names() -> dict[str, str]:
    """The images that we use of others, by stand-in."""
    compose = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())["services"]
    containers = {"envoy": "gateway", "postgres": "postgres", "kafka": "kafka", "valkey": "valkey"}
    names = {name: str(compose[container]["image"]) for name, container in containers.items()}
    dockerfile = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    python = re.search(r"^ARG PYTHON=(\S+)$", dockerfile, re.MULTILINE)
    if python is None:
        raise LookupError("deploy/Dockerfile does not say which Python it is made from")
    return {"python": python[1], **names, "mailpit": str(compose["mailpit"]["image"])}


def build(engine: Engine, folder: Path) -> None:
    """All of them, each with nothing but its own parts."""
    for name, image in published_names().items():
        context = folder / name
        context.mkdir(parents=True)
        _PARTS[name](context)
        engine.build(image, _HERE / "Dockerfile", context, "--target", name)


def _nothing(context: Path) -> None:
    return None


def _postgres(context: Path) -> None:
    package = binaries.postgres("postgres").parents[2]
    for folder in (package, package.with_suffix(".libs")):
        shutil.copytree(folder, context / "packages" / folder.name, symlinks=True)
    shutil.copy(_HERE / "postgres", context)


def _kafka(context: Path) -> None:
    jars = REPOSITORY / "deploy" / "kafka" / "lib"
    if not any(jars.glob("kafka_*.jar")):
        raise Unable("Apache Kafka is not here: run `make kafka`")
    shutil.copytree(jars, context / "jars")
    shutil.copy(_HERE / "kafka", context)


def _envoy(context: Path) -> None:
    shutil.copy(binaries.envoy(), context / "envoy")


def _valkey(context: Path) -> None:
    shutil.copy(binaries.valkey(), context / "valkey-server")
    shutil.copy(_HERE / "valkey-cli", context)


def _mailpit(context: Path) -> None:
    """Packages of our own environment that are Python alone."""
    import aiosmtpd  # noqa: PLC0415 - only to find it

    site = Path(aiosmtpd.__file__).parents[1]
    for package in ("aiosmtpd", "public", "attr", "attrs"):
        shutil.copytree(site / package, context / "packages" / package)
    shutil.copy(_HERE / "mailpit", context)


_PARTS: dict[str, Callable[[Path], None]] = {
    "python": _nothing,
    "postgres": _postgres,
    "kafka": _kafka,
    "envoy": _envoy,
    "valkey": _valkey,
    "mailpit": _mailpit,
}
