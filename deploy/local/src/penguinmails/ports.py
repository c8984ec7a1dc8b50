"""Free TCP ports on loopback, below the range the kernel hands out for outgoing connections.

A port of that range may be taken by somebody's outgoing connection while a killed process restarts.
"""

import random
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Self

Take = Callable[[int], bool]
"""Whether a port is free, and from now on the caller's if it claims them."""

GATEWAY_PORT = 8080
NAMES = (
    "postgres",
    "kafka",
    "kafka_inner",
    "collector",
    "mail",
    "stripe",
    "valkey",
    "stripe_inner",
    "gateway_admin",
    "auth",
    "tenants",
    "workspaces",
    "campaigns",
    "audit",
)


def is_free(port: int) -> bool:
    for address in ("127.0.0.1", "0.0.0.0"):  # noqa: S104 - a look, nothing is served
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError:
                return False
    return True


class Claims:
    """Ports that nobody else gets who claims them too, in whatever process and of whatever user, until they
    are let go or this process ends, however it does.

    What holds a port is a UDP socket of its number, on which nothing of ours listens.
    """

    def __init__(self) -> None:
        self._held: list[socket.socket] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for claim in self._held:
            claim.close()

    def take(self, port: int) -> bool:
        """Claim the port; False when somebody else has, or uses it."""
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
            return False
        self._held.append(claim)
        return is_free(port)


def choose(remembered: dict[str, int], gateway: int | None, take: Take = is_free) -> dict[str, int]:
    """Ports for every process: the remembered ones while they are free, new ones otherwise.

    `gateway` is what the caller asked for; without it the remembered or the default port is tried first.
    """
    wanted = gateway or remembered.get("gateway") or GATEWAY_PORT
    chosen = {"gateway": next_free(wanted, take)}
    for name in NAMES:
        port = remembered.get(name)
        taken = set(chosen.values())
        chosen[name] = port if port and port not in taken and take(port) else random_free(taken, take)
    return chosen


def next_free(first: int, take: Take = is_free) -> int:
    candidates = [*range(first, min(first + 200, 65536)), *range(18080, 18280)]
    for port in candidates:
        if take(port):
            return port
    raise OSError(f"no free port for the gateway from {first} on: set PORT= to a free one")


def random_free(taken: set[int], take: Take = is_free) -> int:
    first, last = _quiet_range()
    for _ in range(2000):
        port = random.randint(first, last)  # noqa: S311 - not a secret
        if port not in taken and take(port):
            return port
    raise OSError(f"no free port between {first} and {last}")


def _quiet_range() -> tuple[int, int]:
    try:
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral = 32768
    return (20000, min(ephemeral, 32768) - 1) if ephemeral > 22000 else (61000, 65000)
