"""What the local database server keeps to itself."""

from pathlib import Path

import asyncpg
import pytest
from tests.postgres import database_server

MARKER = "grace@hopper.example"
TABLE = "CREATE TABLE people (email text PRIMARY KEY CHECK (length(email) < 30), age int NOT NULL)"


async def test_the_log_tells_of_refusals_and_quotes_no_row(tmp_path: Path) -> None:
    """PostgreSQL says in the details of an error what the row or the key was."""
    with database_server(tmp_path) as server:
        connection = await asyncpg.connect(server.superuser_url)
        await connection.execute(TABLE)
        insert = "INSERT INTO people VALUES ($1, $2)"
        await connection.execute(insert, MARKER, 1)
        for email, age in ((MARKER, 1), (MARKER + "x" * 20, 1), ("x" + MARKER, None)):
            with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
                await connection.execute(insert, email, age)
            assert MARKER in str(refused.value.detail), "whoever asked is told"
        await connection.close()
    log = (tmp_path / "postgres.log").read_text()
    assert log.count("ERROR:") == 3
    assert MARKER not in log
