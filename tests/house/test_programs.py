"""A test whose program is missing is skipped here and fails in CI."""

import pytest
from tests.programs import missing


def test_without_its_program_a_test_is_skipped_and_in_ci_it_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="helm is not here: build it"):
        missing("helm", "build it")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="helm is not here: build it"):
        missing("helm", "build it")
