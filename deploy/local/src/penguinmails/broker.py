"""The memory-only broker, behind a door that opens when its topics are whole.

Tansu shows a new topic before it has prepared the partitions, and preparing them resets their positions. A
producer that outlived a restart writes in between, and then records share offsets and consumers miss some.
So Tansu listens on an inner port; its topics are made there, one after the other, before anybody is let in.

A producer that means the log before the restart (`make_producer` names it) is turned away: its next batch
would stand in the new log before the history that belongs in front of it.

The door also holds fetches that have nothing to bring (`penguinmails.fetches`).

`python -m penguinmails.broker --port PORT --inner-port PORT`
"""

import argparse
import asyncio
import secrets
import signal
import struct
import sys
from typing import cast

from common.bus.kafka import all_topics
from common.contracts.envelope import PARTITIONS
from penguinmails import binaries, child
from penguinmails.fetches import Queue, Waiting

_HOST = "127.0.0.1"
_PATIENCE = 20.0
_OURS = "penguinmails@"
"""How the names of our relays' producers begin; the log that they mean follows."""


class _Side(asyncio.Protocol):
    """One of two connections whose bytes go to the other; a slow reader slows the other's writer."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.other: _Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self.hand_on(data)

    def hand_on(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.other and self.other.transport:
            self.other.transport.close()


class _Answers(_Side):
    """The broker's side."""

    def __init__(self, queue: Queue) -> None:
        super().__init__()
        self._queue = queue

    def data_received(self, data: bytes) -> None:
        self.hand_on(data)
        self._queue.answered()


class _Visitor(_Side):
    """A client's connection; reads nothing until the broker's side is there, and then its name first."""

    def __init__(self, inner_port: int, cluster: str, waiting: Waiting) -> None:
        super().__init__()
        self._inner_port = inner_port
        self._cluster = cluster
        self._queue = Queue(self.hand_on, waiting)
        self._greeting: asyncio.Task[None] | None = None
        self._heard: bytes | None = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        cast(asyncio.Transport, transport).pause_reading()
        self._greeting = asyncio.get_running_loop().create_task(self._greet())

    def data_received(self, data: bytes) -> None:
        if self._heard is None:
            self._queue.take(data)
            return
        self._heard += data
        name = _client_id(self._heard)
        if name is None:
            return
        if name.startswith(_OURS) and name.removeprefix(_OURS) != self._cluster:
            if self.transport:
                self.transport.close()
            return
        data, self._heard = self._heard, None
        self._queue.take(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._queue.close()
        super().connection_lost(exc)

    async def _greet(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, side = await loop.create_connection(lambda: _Answers(self._queue), _HOST, self._inner_port)
        except OSError:
            if self.transport:
                self.transport.close()
            return
        side.other, self.other = self, side
        if self.transport:
            self.transport.resume_reading()
        elif side.transport:
            side.transport.close()


def _client_id(heard: bytes) -> str | None:
    """The name in a connection's first request: size, kind, version and number stand before it; None: not
    all of it has come."""
    head = struct.Struct(">ihhih")
    if len(heard) < head.size:
        return None
    length = max(head.unpack_from(heard)[-1], 0)
    if len(heard) < head.size + length:
        return None
    return heard[head.size : head.size + length].decode(errors="replace")


async def serve(port: int, inner_port: int) -> int:
    """Until SIGTERM or the broker's end; its exit status."""
    cluster = new_cluster()
    broker = await asyncio.create_subprocess_exec(
        *command(port, inner_port, cluster),
        stdin=asyncio.subprocess.DEVNULL,
        preexec_fn=child.dying_with_us(signal.SIGKILL),
    )
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, broker.terminate)
    ended = loop.create_task(broker.wait())
    opened = loop.create_task(_open(port, inner_port, cluster))
    await asyncio.wait({ended, opened}, return_when=asyncio.FIRST_COMPLETED)
    if not ended.done():
        opened.result()  # what went wrong ends us, and the broker with us
    opened.cancel()
    return await ended


def new_cluster() -> str:
    """Each start is a new log, and says so by the id of its cluster."""
    return f"pm-{secrets.token_hex(8)}"


def command(port: int, inner_port: int, cluster: str) -> list[str]:
    """Tansu's command line."""
    return [
        str(binaries.kafka()),
        f"--cluster-id={cluster}",
        f"--listener-url=tcp://{_HOST}:{inner_port}",
        f"--advertised-listener-url=tcp://{_HOST}:{port}",
        "--storage-engine=memory://tansu/",
    ]


async def _open(port: int, inner_port: int, cluster: str) -> None:
    """Make the topics, then let clients in."""
    async with asyncio.timeout(_PATIENCE):
        while not await _accepts(inner_port):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(0.01)
        for topic in all_topics():
            await _make_topic(topic, inner_port)
    waiting = Waiting()
    await asyncio.get_running_loop().create_server(
        lambda: _Visitor(inner_port, cluster, waiting), _HOST, port
    )


async def _accepts(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(_HOST, port)
    except OSError:
        return False
    writer.close()
    return True


async def _make_topic(name: str, inner_port: int) -> None:
    address = f"tcp://{_HOST}:{inner_port}"
    options = ["--broker", address, "--partitions", str(PARTITIONS)]
    command = [str(binaries.kafka()), "topic", "create", name, *options]
    made = await asyncio.create_subprocess_exec(*command, stdin=asyncio.subprocess.DEVNULL)
    if await made.wait() != 0:
        raise RuntimeError(f"the topic {name} could not be made")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--inner-port", type=int, required=True)
    options = parser.parse_args()
    sys.exit(asyncio.run(serve(options.port, options.inner_port)))


if __name__ == "__main__":
    main()
