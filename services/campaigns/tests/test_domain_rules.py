"""Names and records of domains, and their keys, without a database."""

import asyncio
import base64

import pytest
from cryptography.hazmat.primitives import serialization

from campaigns.domain.keys import KeyMaker, unseal
from campaigns.domain.rules import MAX_DOMAIN, normal_domain, records_of
from common.errors import Unavailable
from common.ids import new_id
from common.sealing import EncryptionKeys, Unreadable

KEY = EncryptionKeys("6b" * 32)


def long_domain(length: int) -> str:
    """A domain of exactly so many characters."""
    name = "example"
    while length - len(name) > 64:
        name = f"{'a' * 50}.{name}"
    return f"{'b' * (length - len(name) - 1)}.{name}"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("acme.example", "acme.example"),
        ("News.ACME.Example", "news.acme.example"),
        ("acme.example.", "acme.example"),
        ("B\u00fccher.example", "xn--bcher-kva.example"),
        ("bu\u0308cher.example", "xn--bcher-kva.example"),
        ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
        ("acme\u3002example", "acme.example"),
        ("\uff21cme.example", "acme.example"),
        ("fa\u00df.example", "xn--fa-hia.example"),
        ("1.2.3.4.example", "1.2.3.4.example"),
        ("\u4f8b.\u6d4b\u8bd5", "xn--fsq.xn--0zwm56d"),
    ],
)
def test_one_domain_has_one_spelling(given: str, stored: str) -> None:
    assert normal_domain(given) == stored
    assert normal_domain(stored) == stored


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "localhost",
        "com",
        "com.",
        "acme..example",
        ".acme.example",
        "acme.example..",
        "192.0.2.1",
        "192.0.2.1.",
        "\uff11\uff19\uff12.0.2.1",
        "0x7f.1",
        "127.0x1",
        "2130706433",
        "[2001:db8::1]",
        "2001:db8::1",
        "::ffff:192.0.2.1",
        "*.acme.example",
        "*",
        "_dmarc.acme.example",
        "-acme.example",
        "acme-.example",
        "ab--cd.example",
        "xn--a.example",
        "xn--.example",
        "a\u202eb.example",
        "\u2603.example",
        "acme.example/path",
        "https://acme.example",
        "user@acme.example",
        "acme.example:25",
        "acme example.com",
        'acme".example',
        "acme.example;",
        "acme.c",
        f"{'a' * 64}.example",
        long_domain(MAX_DOMAIN + 1),
        long_domain(254),
    ],
)
def test_what_is_no_domain_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        normal_domain(text)


def test_the_longest_domain_leaves_room_for_its_records() -> None:
    name = normal_domain(long_domain(MAX_DOMAIN))
    assert len(name) == MAX_DOMAIN
    records = records_of(name, "token", "pm" + "0" * 12, "key", "mail.penguinmails.test")
    assert max(len(record.name) for record in records) == 253


def test_records_say_exactly_what_to_create() -> None:
    key = "A" * 392
    records = {r.purpose: r for r in records_of("acme.example", "tok", "pm1", key, "mail.pm.test")}
    assert {purpose: (r.type, r.name, r.value) for purpose, r in records.items()} == {
        "ownership": ("TXT", "_penguinmails.acme.example", "penguinmails-verification=tok"),
        "dkim": ("TXT", "pm1._domainkey.acme.example", f"v=DKIM1; k=rsa; p={key}"),
        "spf": ("TXT", "acme.example", "v=spf1 include:spf.mail.pm.test ~all"),
        "dmarc": ("TXT", "_dmarc.acme.example", "v=DMARC1; p=none"),
        "return_path": ("CNAME", "pm-bounces.acme.example", "bounces.mail.pm.test"),
    }
    assert records["return_path"].zone_line == "pm-bounces.acme.example. IN CNAME bounces.mail.pm.test."
    assert records["spf"].zone_line == 'acme.example. IN TXT "v=spf1 include:spf.mail.pm.test ~all"'
    strings = records["dkim"].zone_line.split('"')[1::2]
    assert [len(string) for string in strings] == [255, len(records["dkim"].value) - 255]
    assert "".join(strings) == records["dkim"].value


async def test_sealed_key_opens_for_its_own_row_only() -> None:
    tenant, domain = new_id(), new_id()
    key = await KeyMaker(KEY, 1, 1).make(tenant, domain)
    private = unseal(tenant, domain, key.private, KEY)
    assert private.key_size == 2048
    public = serialization.load_der_public_key(base64.b64decode(key.public))
    assert private.public_key() == public
    tampered = key.private[:-1] + bytes([key.private[-1] ^ 1])
    for wrong in (
        (new_id(), domain, key.private, KEY),
        (tenant, new_id(), key.private, KEY),
        (tenant, domain, key.private, EncryptionKeys("00" * 32)),
        (tenant, domain, tampered, KEY),
        (tenant, domain, b"", KEY),
    ):
        with pytest.raises(Unreadable):
            unseal(*wrong)


async def test_the_event_loop_goes_on_while_keys_are_made() -> None:
    loop = asyncio.get_running_loop()
    making = asyncio.create_task(_make_keys(4))
    beats = 0
    while not making.done():
        before = loop.time()
        await asyncio.sleep(0)
        beats += loop.time() - before < 0.05
    assert beats > 100


async def _make_keys(count: int) -> None:
    maker = KeyMaker(KEY, 1, count)
    for _ in range(count):
        await maker.make(new_id(), new_id())


async def test_more_than_may_wait_are_sent_away() -> None:
    maker = KeyMaker(KEY, 1, 1)
    second = maker.turn()
    async with maker.turn():
        waiting = asyncio.create_task(second.__aenter__())
        await asyncio.sleep(0)
        with pytest.raises(Unavailable):
            await maker.turn().__aenter__()
        assert not waiting.done()
    await waiting
    await second.__aexit__(None, None, None)
    await asyncio.wait_for(maker.turn().__aenter__(), 1)
