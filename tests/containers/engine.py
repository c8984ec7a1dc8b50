"""A Docker engine of our own: its images, containers, networks and packet filters are gone when it ends."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path

PROGRAMS = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
}
"""What is needed, and which of Debian's packages has it."""

_PATIENCE = 60.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


class Unable(Exception):
    """This machine cannot do it; the message says what is missing."""


def check_machine() -> None:
    """Raises Unable."""
    if os.geteuid() != 0:
        raise Unable("only root can start a Docker engine")
    missing = sorted(
        {package for name, package in PROGRAMS.items() if shutil.which(name, path=_PATH) is None}
    )
    if missing:
        raise Unable(f"missing; on Debian: apt install --no-install-recommends {' '.join(missing)}")
    if Path("/var/run/docker.sock").exists():
        raise Unable(
            "a Docker engine runs here already, whose networks ours would disturb. "
            "Where it can fetch images, use it: docker compose up --build"
        )


class Engine:
    """Commands to the engine in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{folder}/socket", "DOCKER_BUILDKIT": "1"}
        self.environment["PATH"] = f"{_PATH}:{os.environ['PATH']}"

    def run(self, *command: str, **environment: str) -> None:
        """Raises CalledProcessError."""
        subprocess.run(command, check=True, env={**self.environment, **environment})

    def ask(self, *command: str) -> str:
        done = subprocess.run(command, check=True, env=self.environment, capture_output=True, text=True)
        return done.stdout.strip()

    def build(self, image: str, dockerfile: Path, context: Path, *options: str) -> None:
        """Build on the host's network: what the host reaches, the build does."""
        place = ["--file", str(dockerfile), str(context)]
        self.run("docker", "build", "--quiet", "--network", "host", "--tag", image, *options, *place)

    def adopt(self, archive: Path, image: str) -> None:
        """An image of one layer, from a tar archive."""
        self.run("docker", "import", str(archive), image)


@contextmanager
def running_engine(folder: Path) -> Generator[Engine]:
    """An engine with everything it has below `folder`, which is erased with it."""
    engine = Engine(folder)
    log = folder / "dockerd.log"
    places = {"--data-root": "data", "--exec-root": "exec", "--pidfile": "pid"}
    options = [word for option, name in places.items() for word in (option, str(folder / name))]
    command = ["dockerd", "--host", engine.environment["DOCKER_HOST"], "--bridge", "none", *options]
    filters = _packet_filters(engine)
    with log.open("w") as output:
        daemon = subprocess.Popen(
            command, stdout=output, stderr=output, env=engine.environment, start_new_session=True
        )
    try:
        _wait_for(daemon, engine, log)
        yield engine
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        subprocess.run(["iptables-restore"], check=True, env=engine.environment, input=filters, text=True)
        shutil.rmtree(folder, ignore_errors=True)


def _packet_filters(engine: Engine) -> str:
    """The tables that an engine changes and leaves changed."""
    return "\n".join(engine.ask("iptables-save", "--table", table) for table in ("filter", "nat")) + "\n"


def _wait_for(daemon: "subprocess.Popen[bytes]", engine: Engine, log: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    command: Sequence[str] = ("docker", "version")
    while subprocess.run(command, env=engine.environment, capture_output=True, check=False).returncode:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise Unable(f"the Docker engine does not start here:\n{log.read_text()[-2000:]}")
        time.sleep(0.2)
