"""Running PostgreSQL as somebody else when we are root, which it refuses to be."""

import os
import pwd
import shutil
from pathlib import Path

CANDIDATES = ("postgres", "nobody")

# The programs and data may lie below a home only root may enter: let the server look through it,
# not write. Containers often lack the first capability and have the second.
PASSAGE = (("dac_read_search", 2), ("dac_override", 1))


class CannotDropRoot(Exception):
    """There is no way here to run PostgreSQL as an ordinary user."""


def server_user(data: Path) -> pwd.struct_passwd | None:
    """Who runs the server: None for ourselves, else the owner of the data or a system user."""
    if os.geteuid() != 0:
        return None
    if data.exists() and data.stat().st_uid != 0:
        return pwd.getpwuid(data.stat().st_uid)
    for name in CANDIDATES:
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise CannotDropRoot("root cannot run PostgreSQL, and there is no user `postgres` or `nobody`")


def as_user(user: pwd.struct_passwd | None) -> list[str]:
    """The command prefix that becomes `user` and dies (SIGINT: fast shutdown) with its parent."""
    if user is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise CannotDropRoot(
            "root cannot run PostgreSQL and `setpriv` (package util-linux) is missing: "
            "install it, or run as an ordinary user"
        )
    prefix = [setpriv, f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
    return [*prefix, "--pdeathsig=INT", *_passage()]


def has_passage() -> bool:
    """Whether the server can pass folders that only root may enter."""
    return bool(_passage())


def _passage() -> list[str]:
    ours = _capabilities()
    for name, bit in PASSAGE:
        if ours >> bit & 1:
            return [f"--inh-caps=+{name}", f"--ambient-caps=+{name}"]
    return []


def _capabilities() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16)
    return 0
