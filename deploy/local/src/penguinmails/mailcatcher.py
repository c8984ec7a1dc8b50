"""Takes any mail over SMTP and keeps it in a Maildir, byte for byte, with its envelope in two headers.

`python -m penguinmails.mailcatcher --port PORT --maildir FOLDER`
"""

import argparse
import asyncio
import itertools
import os
import signal
import time
from pathlib import Path
from typing import Protocol

from aiosmtpd.smtp import SMTP

SIZE_LIMIT = 32 << 20


class Envelope(Protocol):
    mail_from: str | None
    rcpt_tos: list[str]
    original_content: bytes | None


class Maildir:
    """Writers finish a file in `tmp` and move it to `new`: a reader never sees half a mail."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.numbers = itertools.count()
        for folder in ("tmp", "new", "cur"):
            (root / folder).mkdir(parents=True, exist_ok=True)

    def add(self, content: bytes) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
        name = f"{seconds}.M{nanoseconds // 1000:06d}P{os.getpid()}Q{next(self.numbers)}.localhost"
        draft = self.root / "tmp" / name
        draft.write_bytes(content)
        draft.rename(self.root / "new" / name)


class Catcher:
    def __init__(self, maildir: Maildir) -> None:
        self.maildir = maildir

    async def handle_DATA(self, _server: object, _session: object, envelope: Envelope) -> str:
        recipients = ", ".join(envelope.rcpt_tos)
        head = f"X-Envelope-From: {envelope.mail_from}\r\nX-Envelope-To: {recipients}\r\n"
        self.maildir.add(head.encode() + (envelope.original_content or b""))
        return "250 OK"


async def serve(port: int, maildir: Path) -> None:
    catcher = Catcher(Maildir(maildir))
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    server = await loop.create_server(
        lambda: SMTP(
            catcher, data_size_limit=SIZE_LIMIT, enable_SMTPUTF8=True, hostname="localhost", loop=loop
        ),
        "127.0.0.1",
        port,
    )
    await stop.wait()
    server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--maildir", type=Path, required=True)
    options = parser.parse_args()
    asyncio.run(serve(options.port, options.maildir))


if __name__ == "__main__":
    main()
