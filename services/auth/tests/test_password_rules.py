"""Which passwords are refused, and that hashing is bounded."""

import asyncio
import threading

import pytest
from argon2 import PasswordHasher

from auth.password import hashing
from auth.password.hashing import Cost, Hasher, Parameters, fresh_parameters
from auth.password.rules import COMMON, fold, weakness
from common.errors import Unavailable

EMAIL, COMPANY = "olga.owner@acme.example", "Acme Rockets Ltd"


@pytest.mark.parametrize(
    "password",
    [
        "aaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabc",
        "123456789012345",
        "PasswordPassword1",
        "p-a-s-s-w-o-r-d-1-2-3-4",
        "correct horse battery staple",
        "QwertyUiop1234567",
        "iloveyou iloveyou",
        "my olga.owner walrus",
        "we are ACME rockets ltd!",
        "ｐａｓｓｗｏｒｄ２０２４ｐａｓｓｗｏｒｄ",
    ],
)
def test_passwords_guessed_first_are_refused(password: str) -> None:
    assert weakness(password, EMAIL, COMPANY) is not None


@pytest.mark.parametrize(
    "password",
    [
        "a walrus on a bicycle",
        "пингвины любят рыбу",
        "9f$kQ!2zv&7Lm#0xW",
        "%$#@!^&*()_+{}|~",
        "🐧🐟🧊❄️🐳🦭🌊⛵🎣🪸🦈🐙🦀🐚🦑",
    ],
)
def test_other_passwords_pass(password: str) -> None:
    assert weakness(password, EMAIL, COMPANY) is None


def test_short_company_names_are_no_reason() -> None:
    assert weakness("a walrus on a bicycle", "on@a.example", "On") is None


def test_the_list_is_folded() -> None:
    assert all(word == fold(word) for word in COMMON)


async def test_a_hash_is_argon2id_and_verifies_with_the_library() -> None:
    text = await Hasher(1, 1).hash("a walrus on a bicycle", fresh_parameters())
    assert text.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert PasswordHasher().verify(text, "a walrus on a bicycle")


async def test_the_same_password_typed_in_other_unicode_forms_has_one_hash() -> None:
    parameters = Parameters(b"0123456789abcdef", Cost(memory_kib=64))
    hasher = Hasher(1, 4)
    composed, decomposed = "caf\u00e9 caf\u00e9 caf\u00e9", "cafe\u0301 cafe\u0301 cafe\u0301"
    assert await hasher.hash(composed, parameters) == await hasher.hash(decomposed, parameters)


async def test_beyond_the_queue_the_answer_is_try_later(monkeypatch: pytest.MonkeyPatch) -> None:
    go = threading.Event()
    monkeypatch.setattr(hashing, "_compute", lambda *_: str(go.wait(5)))
    hasher, parameters = Hasher(1, 1), fresh_parameters()
    waiting = [asyncio.create_task(hasher.hash("x", parameters)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable) as refused:
        await hasher.hash("x", parameters)
    assert refused.value.headers["Retry-After"] == "2"
    go.set()
    assert await asyncio.gather(*waiting) == ["True", "True"]
    assert await hasher.hash("x", parameters) == "True"
