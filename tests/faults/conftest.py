"""Each fault begins on a platform that works again after the one before; seeded tests end with a summary."""

import pytest

from tests.e2e.client import Platform, Tenant, eventually
from tests.faults.summary import LINES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for heading, lines in LINES.items():
        terminalreporter.section(heading)
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture
async def tenant(platform: Platform) -> Tenant:
    """A tenant of the test's own, as soon as sign-up works; its plan allows as many requests as the load."""

    async def sign_up() -> Tenant | None:
        answer = await platform.try_sign_up("Resilient Ltd", "enterprise")
        return answer if isinstance(answer, Tenant) else None

    return await eventually(sign_up, within=60, every=0.3)
