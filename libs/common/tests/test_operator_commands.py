"""What operators' commands tell when they cannot do their work."""

import asyncpg
import pytest
import typer
from aiokafka.errors import KafkaConnectionError

from common.errors import NotFound
from common.operators import run


async def fail(error: Exception) -> None:
    raise error


@pytest.mark.parametrize(
    "error",
    [
        OSError("no route"),
        KafkaConnectionError("no broker"),
        asyncpg.InvalidPasswordError("no password"),
    ],
)
def test_what_cannot_be_reached_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        run(fail(error))
    assert ended.value.exit_code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert type(error).__name__ in line
    assert "no " in line


def test_what_is_refused_is_a_wrong_argument_and_a_bug_stays_one() -> None:
    with pytest.raises(typer.BadParameter):
        run(fail(NotFound()))
    with pytest.raises(KeyError):
        run(fail(KeyError("bug")))
