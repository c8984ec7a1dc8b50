"""The page of measurements, and what asks."""

import asyncio

import pytest
from bench.report import Line, page
from bench.web.load import crowd, request


def test_measuring_some_lines_leaves_the_others_on_the_page() -> None:
    first, second = Line("one", "1", "≥ 1", True, ["a note"]), Line("two", "2", "≥ 3", False, ["another"])
    both = page([first, second], "") + "\n## Words\n- by hand\n"
    again = page([Line("one", "4", "≥ 1", True, ["measured again"])], both)
    assert [row.split(" | ")[:3] for row in again.splitlines() if row.startswith("| ")] == [
        ["| what", "measured", "bar"],
        ["| two", "2", "≥ 3"],
        ["| one", "4", "≥ 1"],
    ]
    assert [row for row in again.splitlines() if row.startswith("- ")] == [
        "- two: another",
        "- one: measured again",
        "- by hand",
    ]
    assert again.endswith("measured again\n\n## Words\n- by hand\n")


async def test_an_answer_is_one_however_it_arrives() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = b"HTTP/1.1 201 Created\r\nX-Request-Id: one\r\ncontent-length: 4\r\n"
        while await reader.readuntil(b"\r\n\r\n"):
            for piece in (head[:30], head[30:], b"\r\nab", b"cd"):
                writer.write(piece)
                await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    asked = request("GET", "/campaigns", "token")
    async with server, crowd(url, 2) as asking:
        found = await asyncio.gather(*(asking.ask(asked) for _ in range(5)))
        assert [(one.status, one.request_id) for one in found] == [(201, "one")] * 5
        assert await asking.rate(lambda: asked, 201, 0.05) > 0
        with pytest.raises(RuntimeError, match="201 and not 200"):
            await asking.rate(lambda: asked, 200, 0.05)


async def test_a_server_that_hangs_up_is_told_of() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, crowd(url, 1) as asking:
        with pytest.raises(ConnectionError):
            await asking.ask(request("GET", "/campaigns", "token"))
