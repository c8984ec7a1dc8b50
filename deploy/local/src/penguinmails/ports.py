"""Free TCP ports on loopback, below the range the kernel hands out for outgoing connections.

A port of that range may be taken by somebody's outgoing connection while a killed process restarts.
"""

import random
import socket
from pathlib import Path

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


def choose(remembered: dict[str, int], gateway: int | None) -> dict[str, int]:
    """Ports for every process: the remembered ones while they are free, new ones otherwise.

    `gateway` is what the caller asked for; without it the remembered or the default port is tried first.
    """
    wanted = gateway or remembered.get("gateway") or GATEWAY_PORT
    chosen = {"gateway": next_free(wanted)}
    for name in NAMES:
        port = remembered.get(name)
        taken = set(chosen.values())
        chosen[name] = port if port and port not in taken and is_free(port) else random_free(taken)
    return chosen


def next_free(first: int) -> int:
    candidates = [*range(first, min(first + 200, 65536)), *range(18080, 18280)]
    for port in candidates:
        if is_free(port):
            return port
    raise OSError(f"no free port for the gateway from {first} on: set PORT= to a free one")


def random_free(taken: set[int]) -> int:
    first, last = _quiet_range()
    for _ in range(2000):
        port = random.randint(first, last)  # noqa: S311 - not a secret
        if port not in taken and is_free(port):
            return port
    raise OSError(f"no free port between {first} and {last}")


def _quiet_range() -> tuple[int, int]:
    try:
        ephemeral = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    except (OSError, ValueError, IndexError):
        ephemeral = 32768
    return (20000, min(ephemeral, 32768) - 1) if ephemeral > 22000 else (61000, 65000)
