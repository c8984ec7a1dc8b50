"""The README's story, run as it is printed there."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from penguinmails.stack import Stack

REPOSITORY = Path(__file__).parents[2]
ADDRESS = "http://127.0.0.1:8080"


def story() -> str:
    """The shell lines under "The story in curl"."""
    found = re.search(
        r"^## The story in curl\n+```sh\n(.*?)```", (REPOSITORY / "README.md").read_text(), re.M | re.S
    )
    assert found
    return found[1]


def documents(printed: str) -> list[dict[str, Any]]:
    """The JSON documents that follow each other in the output."""
    decoder, found, rest = json.JSONDecoder(), [], printed.strip()
    while rest:
        document, end = decoder.raw_decode(rest)
        found.append(document)
        rest = rest[end:].strip()
    return found


def asked_in_docs() -> dict[str, str]:
    """Every request with curl in the shell lines below `docs/`, by page and number."""
    found: dict[str, str] = {}
    for page in sorted((REPOSITORY / "docs").rglob("*.md")):
        lines = "".join(re.findall(r"^```sh\n(.*?)```", page.read_text(), re.M | re.S))
        asked = re.findall(r"^curl (?:.*\\\n)*.*", lines, re.M)
        found |= {f"{page.stem}-{number}": line for number, line in enumerate(asked, start=1)}
    return found


@pytest.mark.parametrize("line", asked_in_docs().values(), ids=asked_in_docs())
async def test_a_request_of_the_docs_is_understood(stack: Stack, line: str) -> None:
    """Where it holds an ellipsis for a secret, it is refused for that alone."""
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-euo", "pipefail", "-c", line),
        env={**os.environ, "G": f"{stack.env()['gateway']}/api/v1"},
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await asyncio.wait_for(process.communicate(), 30)
    answer = json.loads(printed)
    assert answer.get("status", 200) in (200, 401), answer


def test_the_docs_ask_something() -> None:
    assert asked_in_docs()


async def test_the_story_of_the_readme_goes_as_it_says(stack: Stack) -> None:
    lines = story()
    assert lines.count(ADDRESS) == 1, "the address is written once; the rest is run literally"
    script = lines.replace(ADDRESS, stack.env()["gateway"])
    environment = {**os.environ, "PENGUINMAILS_HOME": str(stack.home.root)}
    process = await asyncio.create_subprocess_exec(
        "bash",
        *("-euo", "pipefail", "-c", script),
        cwd=REPOSITORY,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    printed, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    missed, refused, full, anonymous, invited, campaign, unwritten, revoked = documents(printed.decode())
    assert (missed["status"], missed["code"]) == (404, "not_found")
    assert (refused["status"], refused["code"]) == (403, "cross_tenant_forbidden")
    assert [event["outcome"] for event in full["data"]]
    assert all(event["actor"]["id"] for event in full["data"])
    assert anonymous["data"]
    assert not any(event["actor"].get("id") for event in anonymous["data"])
    assert (invited["email"], invited["status"]) == ("ivan@acme.example", "pending")
    assert campaign["name"] == "Spring"
    assert (unwritten["status"], unwritten["code"]) == (403, "forbidden")
    assert (revoked["status"], revoked["code"]) == (401, "unauthenticated")
