"""The demo tenant that `penguinmails up` remembers, on the running stack."""

import json

import pytest

from penguinmails import demo, files
from penguinmails.demo import Client
from penguinmails.stack import Stack


def ways_in(stack: Stack) -> dict[str, str]:
    demo.show_ways_in(stack)
    login: dict[str, str] = json.loads(stack.home.demo_login.read_text())
    gateway = stack.config.url("gateway")
    with Client(gateway, login["access_token"]) as client:
        assert client.call("GET", "/auth/me").json()["tenant_id"] == login["tenant_id"]
    assert stack.home.demo_token.read_text() == login["access_token"]
    return login


def spoil(stack: Stack, login: dict[str, str], *names: str) -> None:
    """As after the time of these tokens."""
    over = {**login, **dict.fromkeys(names, "over")}
    files.write_atomically(stack.home.demo_login, json.dumps(over), mode=0o600)


def test_the_demo_tenant_stays_the_same_as_long_as_its_session_lasts(
    stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.home.demo_login.unlink(missing_ok=True)
    made = ways_in(stack)
    assert ways_in(stack) == made, "its token works"
    for _ in range(2):
        spoil(stack, made, "access_token")
        again = ways_in(stack)
        assert again["tenant_id"] == made["tenant_id"]
        assert again["refresh_token"] != made["refresh_token"]
        made = again
    spoil(stack, made, "access_token", "refresh_token")
    assert ways_in(stack)["tenant_id"] != made["tenant_id"]
    assert "No demo tenant" not in capsys.readouterr().out
