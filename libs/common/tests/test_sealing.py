"""Secrets at rest: which key opens what."""

import os

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.sealing import NO_ID, EncryptionKeys, Unreadable, sealed_with

OLD, NEW = "0a" * 32, "0b" * 32


def test_the_first_key_seals_and_every_one_opens() -> None:
    old, both, new = EncryptionKeys(OLD), EncryptionKeys(f"{NEW}, {OLD}"), EncryptionKeys(NEW)
    before, after = old.seal(b"secret", "a name"), both.seal(b"secret", "a name")
    assert both.unseal(before, "a name") == both.unseal(after, "a name") == b"secret"
    assert new.unseal(after, "a name") == b"secret"
    assert (sealed_with(before), sealed_with(after)) == (old.current, new.current)
    assert both.current == new.current != old.current
    assert after.startswith(new.header), "what is to be sealed again is found without opening it"


def test_a_key_that_was_removed_too_early_is_named() -> None:
    sealed = EncryptionKeys(OLD).seal(b"secret", "signing key x")
    missing = EncryptionKeys(OLD).current
    with pytest.raises(Unreadable, match=f"signing key x is sealed with the encryption key {missing}, which"):
        EncryptionKeys(NEW).unseal(sealed, "signing key x")


def test_another_name_and_a_changed_byte_open_nothing() -> None:
    keys = EncryptionKeys(f"{NEW},{OLD}")
    sealed = keys.seal(b"secret", "a name")
    for place in range(len(sealed)):
        changed = sealed[:place] + bytes([sealed[place] ^ 1]) + sealed[place + 1 :]
        with pytest.raises(Unreadable):
            keys.unseal(changed, "a name")
    for length in range(len(sealed)):
        with pytest.raises(Unreadable):
            keys.unseal(sealed[:length], "a name")
    with pytest.raises(Unreadable, match="cannot be decrypted"):
        keys.unseal(sealed, "another name")


def test_what_was_sealed_before_keys_had_ids_opens() -> None:
    nonce = os.urandom(12)
    sealed = nonce + AESGCM(bytes.fromhex(OLD)).encrypt(nonce, b"secret", b"a name")
    keys = EncryptionKeys(f"{NEW},{OLD}")
    assert keys.unseal(sealed, "a name") == b"secret"
    assert sealed_with(sealed) == NO_ID
    with pytest.raises(Unreadable, match="cannot be decrypted"):
        EncryptionKeys(NEW).unseal(sealed, "a name")


@pytest.mark.parametrize("text", ["", "0a", f"{OLD},", f"{OLD},short", "z" * 64])
def test_what_is_no_key_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="KEY_ENCRYPTION_KEY must be") as refused:
        EncryptionKeys(text)
    assert not text or text not in str(refused.value)


def test_the_id_of_a_key_is_no_part_of_it() -> None:
    assert EncryptionKeys(OLD).current not in OLD
