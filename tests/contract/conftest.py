"""Fixtures of the contract tests: two tenants of the running platform and a record of what was answered."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import requests

from penguinmails.stack import Stack
from tests.contract.company import Company
from tests.contract.operator import Operator
from tests.contract.stage import Record, Stage


@pytest.fixture(scope="session")
def new_company(stack: Stack) -> Iterator[Callable[[], Company]]:
    """Call it for a tenant of one's own."""
    environment: dict[str, Any] = stack.env()
    with httpx.Client(base_url=environment["gateway"], timeout=20) as http:
        yield lambda: Company(http, Path(environment["mail_dir"]))


@pytest.fixture(scope="session")
def stage(stack: Stack, new_company: Callable[[], Company]) -> Iterator[Stage]:
    """The running platform behind its gateway, and two tenants."""
    gateway = str(stack.env()["gateway"])
    with requests.Session() as session, httpx.Client(base_url=gateway, timeout=20) as http:
        operator = Operator(stack, http, new_company())
        yield Stage(gateway, session, (new_company(), new_company()), operator, Record())
