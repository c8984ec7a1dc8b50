"""`python -m tests.containers`: run docker-compose.yml for real, on an engine and with stand-ins of our own.

Builds deploy/Dockerfile, brings everything up, plays the story through the published gateway, kills a service
and sees it return, and takes everything down. Nothing is left but the base system in `.cache`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import httpx

from penguinmails import compose, ports
from penguinmails.home import REPOSITORY
from tests.containers import standins
from tests.containers.engine import Engine, Unable, check_machine, running_engine

_BASE = REPOSITORY / ".cache" / "compose-check" / "base.tar"
_STORY = ("tests/e2e/test_story.py",)
_PATIENCE = 180.0
_BEGUN = time.monotonic()


class Failed(Exception):
    """Something did not behave."""


class Project:
    """docker-compose.yml with keys of its own, below `folder`."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.port = ports.next_free(ports.GATEWAY_PORT + 100)
        compose.write(folder, self.port)
        with (folder / ".env").open("a") as settings:
            settings.write("SIGNUP_RATE_PER_MINUTE=6000\n")
        place = ["--file", str(REPOSITORY / "docker-compose.yml"), "--project-directory", str(folder)]
        self._command = [
            "docker-compose",
            *place,
            "--env-file",
            str(folder / ".env"),
            "--project-name",
            "check",
        ]

    def do(self, *words: str) -> None:
        """Raises CalledProcessError."""
        self.engine.run(*self._command, *words)

    def container(self, service: str) -> str:
        return self.engine.ask(*self._command, "ps", "--quiet", service)

    def state(self, service: str, what: str) -> str:
        return self.engine.ask("docker", "inspect", "--format", f"{{{{.{what}}}}}", self.container(service))

    def wait_until(self, service: str, what: str, wanted: str) -> None:
        """Until the state of the service's container is the wanted one."""
        deadline = time.monotonic() + _PATIENCE
        while (now := self.state(service, what)) != wanted:
            if time.monotonic() > deadline:
                raise Failed(f"{service}: {what} is {now}, not {wanted}")
            time.sleep(0.5)

    def ask_gateway(self, path: str) -> int:
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", timeout=20).status_code


@contextmanager
def running_project(engine: Engine, folder: Path) -> Generator[Project]:
    project = Project(engine, folder)
    try:
        project.do("up", "--detach", "--no-build")
        yield project
    except BaseException:
        project.do("ps", "--all")
        project.do("logs", "--tail", "25")
        raise
    finally:
        project.do("down", "--volumes", "--timeout", "20")


def check(engine: Engine, folder: Path) -> None:
    say("building the stand-ins")
    engine.adopt(_BASE, standins.BASE)
    standins.build(engine, folder / "standins")
    say("building deploy/Dockerfile")
    for target, image in (("stripe", "penguinmails/stripe:dev"), ("service", "penguinmails/services:dev")):
        engine.build(image, REPOSITORY / "deploy" / "Dockerfile", REPOSITORY, "--target", target)
    _check_image(engine)
    say("docker-compose up")
    (folder / "project").mkdir()
    with running_project(engine, folder / "project") as project:
        _check_running(project)
        _play(project)
        _kill_and_return(project)
        say("docker-compose down")


def _check_image(engine: Engine) -> None:
    """No tool that builds or installs is in it, and it runs as nobody special."""
    image = "penguinmails/services:dev"
    look = "id -u; for tool in gcc make uv pip pip3; do command -v $tool || true; done"
    found = engine.ask("docker", "run", "--rm", "--network", "none", "--entrypoint", "sh", image, "-c", look)
    if found != "10001":
        raise Failed(f"expected user 10001 and no tools, found: {found}")
    size = engine.ask("docker", "inspect", "--format", "{{.Size}}", image)
    base = engine.ask("docker", "inspect", "--format", "{{.Size}}", standins.published_names()["python"])
    say(f"the image adds {(int(size) - int(base)) >> 20} MB to that of Python")


def _check_running(project: Project) -> None:
    if project.state("migrations", "State.ExitCode") != "0":
        raise Failed("the migrations failed")
    for service in ("gateway", *compose.SERVICES):
        project.wait_until(service, "State.Health.Status", "healthy")
        if project.state(service, "HostConfig.ReadonlyRootfs") != "true":
            raise Failed(f"{service} may write to its root file system")
    say("everything is healthy")


def _play(project: Project) -> None:
    address = project.engine.ask(
        *("docker", "network", "inspect", "check_edge"), "--format", "{{(index .IPAM.Config 0).Gateway}}"
    )
    environment = {
        **os.environ,
        "TEST_GATEWAY": f"http://127.0.0.1:{project.port}",
        "TEST_CLIENT_ADDRESS": address,
    }
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *_STORY]
    subprocess.run(command, check=True, cwd=REPOSITORY, env=environment)


def _kill_and_return(project: Project) -> None:
    """Without workspaces the others go on; with it again, so does it."""
    say("killing workspaces")
    project.engine.run("docker", "kill", project.container("workspaces"))
    project.wait_until("workspaces", "State.Running", "false")
    if project.ask_gateway("/.well-known/jwks.json") != 200:
        raise Failed("auth went down with workspaces")
    project.do("up", "--detach", "--no-build")
    project.wait_until("workspaces", "State.Health.Status", "healthy")
    _play(project)
    say("stopping audit in order")
    project.do("stop", "audit")
    if (code := project.state("audit", "State.ExitCode")) != "0":
        raise Failed(f"audit ended with {code} when it was asked to stop")


def say(text: str) -> None:
    print(f"[{time.monotonic() - _BEGUN:5.0f} s] {text}", flush=True)


def main() -> None:
    try:
        check_machine()
        say("the base system")
        standins.make_base(_BASE)
        # A short path: sockets have little room for their names.
        folder = Path(tempfile.mkdtemp(prefix="compose-", dir="/tmp"))
        (folder / "engine").mkdir()
        try:
            with running_engine(folder / "engine") as engine:
                check(engine, folder)
        finally:
            shutil.rmtree(folder)
    except Unable as error:
        sys.exit(f"compose-check: {error}")
    except Failed as error:
        sys.exit(f"compose-check failed: {error}")
    except subprocess.CalledProcessError as error:
        sys.exit(f"compose-check failed: {' '.join(map(str, error.cmd[:6]))} … ended with {error.returncode}")
    say("the Compose file runs")


if __name__ == "__main__":
    main()
