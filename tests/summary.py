"""Lines that tests leave for the end of the run: a plugin, for they may come from another process."""

from collections import defaultdict
from collections.abc import Callable

import pytest

PROPERTY = "summary"
"""Of a test's report, and so of the junit file: a heading and a line."""

Say = Callable[[str, str], None]


@pytest.fixture
def say_at_the_end(record_property: Callable[[str, object], None]) -> Say:
    """Call it with a heading and a line, which stands below it at the end of the run."""

    def say(heading: str, line: str) -> None:
        record_property(PROPERTY, [heading, line])

    return say


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    lines: defaultdict[str, list[str]] = defaultdict(list)
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            for name, value in report.user_properties if report.when == "call" else []:
                if name == PROPERTY:
                    lines[value[0]].append(value[1])
    for heading, said in lines.items():
        terminalreporter.section(heading)
        for line in said:
            terminalreporter.write_line(line)
