"""Runs somebody else's server with its habits confined: loopback only, files in a folder of ours.

`python -m penguinmails.confine FOLDER MODULE ARGUMENTS…` is for localstripe, which listens on every
address and keeps its data in one fixed file below /tmp, shared by all stacks of a machine. It also saves
whenever anything is put into its store, and that is not whole yet: killed then, it would stumble over its
file for ever. Only what it saves at a request's end is kept. It stays a program of its own, started as
`python -m`, and our code does not import it.
"""

import builtins
import inspect
import io
import os
import runpy
import socket
import sys
from pathlib import Path
from typing import Any

SETTERS = {"__setitem__", "__delitem__"}
WILDCARDS = {"::", "0.0.0.0", ""}  # noqa: S104 - the addresses we replace


class LoopbackSocket(socket.socket):
    """A TCP socket that serves on 127.0.0.1 when it is asked to serve everywhere."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        serves_ipv6 = fileno is None and family == socket.AF_INET6
        super().__init__(socket.AF_INET if serves_ipv6 else family, type, proto, fileno)

    def bind(self, address: Any, /) -> None:
        host, *rest = address
        super().bind(("127.0.0.1", rest[0]) if host in WILDCARDS else address)


class ReplacedWhenClosed(io.BufferedWriter):
    """Writes beside the file and takes its place at the end: a kill leaves the old content whole."""

    def __init__(self, path: Path) -> None:
        self.path, self.draft = path, path.with_suffix(".draft")
        super().__init__(io.FileIO(self.draft, "wb"))

    def close(self) -> None:
        if not self.closed:
            super().close()
            os.replace(self.draft, self.path)


def confine(folder: Path) -> None:
    """From here on this process serves on loopback and finds its /tmp in `folder`."""
    plain_open = builtins.open

    def open_inside(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        if not (isinstance(file, str) and file.startswith("/tmp/")):  # noqa: S108
            return plain_open(file, mode, *rest, **options)
        inside = folder / Path(file).name
        if mode != "wb":
            return plain_open(inside, mode, *rest, **options)
        return plain_open(os.devnull, mode) if _amid_a_change() else ReplacedWhenClosed(inside)

    builtins.open = open_inside
    socket.socket = LoopbackSocket  # type: ignore[misc]


def _amid_a_change() -> bool:
    """Whether the file is opened for a store that something is being put into, or taken from."""
    frame = inspect.currentframe()
    for _ in ("the opening", "the saving", "the change"):
        frame = frame and frame.f_back
    return frame is not None and frame.f_code.co_name in SETTERS


def main() -> None:
    _, folder, module, *arguments = sys.argv
    confine(Path(folder))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
