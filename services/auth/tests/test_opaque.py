"""Tokens that say where to look and open what they were made for."""

import re
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auth.opaque import derived_token, random_token, read_token

KEY = "ab" * 32


def test_a_token_reads_back_and_opens_its_own_hash_only() -> None:
    token, other = random_token(uuid4(), uuid4()), random_token(uuid4(), uuid4())
    read = read_token(token.text)
    assert read == token
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", token.text)
    assert read.opens(token.secret_hash)
    assert not read.opens(other.secret_hash)


def test_a_derived_token_is_the_same_each_time_and_differs_by_everything() -> None:
    tenant, row = uuid4(), uuid4()
    token = derived_token(KEY, "link", tenant, row)
    assert derived_token(KEY, "link", tenant, row) == token
    others = [
        derived_token("cd" * 32, "link", tenant, row),
        derived_token(KEY, "other", tenant, row),
        derived_token(KEY, "link", uuid4(), row),
        derived_token(KEY, "link", tenant, uuid4()),
    ]
    assert len({token.secret, *(other.secret for other in others)}) == 5


@pytest.mark.parametrize("text", ["", "x", "é" * 86, "A" * 85, "A" * 87, "=" * 86, "A" * 85 + "B"])
def test_what_is_no_token_reads_as_none(text: str) -> None:
    assert read_token(text) is None


@given(st.text(max_size=100))
def test_no_text_breaks_the_reader(text: str) -> None:
    token = read_token(text)
    assert token is None or token.text == text
