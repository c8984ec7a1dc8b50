"""Apache Kafka as the stack's broker: the choice, what it needs, and its log over restarts."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from penguinmails import apache_kafka, config, display, ports, probes
from penguinmails.binaries import BinaryMissing
from penguinmails.config import Broker
from penguinmails.home import Home
from penguinmails.stack import Stack

needs_kafka = pytest.mark.skipif(os.environ.get("KAFKA") != "apache", reason="runs with KAFKA=apache")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "a höme, with spaces")
    home.make()
    return home


@pytest.fixture
def fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A Java that tells a version, which the test writes, and a folder with jars."""
    (tmp_path / "jars").mkdir()
    (tmp_path / "jars" / "kafka_2.13-4.jar").touch()
    monkeypatch.setattr(apache_kafka, "JARS", tmp_path / "jars")
    java = tmp_path / "jdk" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.touch(mode=0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    return java


def test_the_broker_is_remembered_and_services_know_what_it_can(home: Home) -> None:
    for broker, idempotence in ((Broker.TANSU, "false"), (Broker.APACHE, "true")):
        config.prepare(home, None, {}, broker)
        loaded = config.load(home)
        assert loaded.broker is broker
        assert loaded.service_environment("auth")["KAFKA_IDEMPOTENCE"] == idempotence


@pytest.mark.parametrize("broker", Broker)
def test_up_says_what_stands_in_for_the_broker(home: Home, broker: Broker) -> None:
    config.prepare(home, None, {}, broker)
    with display.console.capture() as said:
        display.stand_ins(Stack(home))
    assert ("Tansu" in said.get()) == (broker is Broker.TANSU)
    assert "Apache Kafka" in said.get()


def test_without_the_jars_it_names_the_command(
    home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(apache_kafka, "JARS", tmp_path / "nothing")
    with pytest.raises(BinaryMissing, match="make kafka"):
        apache_kafka.make_log(home, ports.choose({}, None))


def test_without_java_it_names_the_package(home: Home, fetched: Path) -> None:
    fetched.unlink()
    with pytest.raises(BinaryMissing, match="openjdk-17-jre-headless"):
        apache_kafka.make_log(home, ports.choose({}, None))


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_402"])
def test_an_old_java_is_refused(home: Home, fetched: Path, version: str) -> None:
    fetched.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    with pytest.raises(BinaryMissing, match="is older"):
        apache_kafka.make_log(home, ports.choose({}, None))


@needs_kafka
async def test_it_keeps_its_log_and_id_over_a_restart(home: Home) -> None:
    chosen = ports.choose({}, None)
    assert apache_kafka.make_log(home, chosen)
    with running(home) as first:
        before = await described(first, chosen["kafka"], make="kept")
    assert not apache_kafka.make_log(home, chosen)
    with running(home) as second:
        after = await described(second, chosen["kafka"])
    assert before == after
    assert "kept" in after[1]


@needs_kafka
def test_an_interrupted_format_is_done_again(home: Home) -> None:
    home.kafka_log.mkdir()
    (home.kafka_log / "bootstrap.checkpoint").touch()
    assert apache_kafka.make_log(home, ports.choose({}, None))


@needs_kafka
async def test_it_makes_no_topics_by_itself(home: Home) -> None:
    chosen = ports.choose({}, None)
    apache_kafka.make_log(home, chosen)
    with running(home) as pid:
        await described(pid, chosen["kafka"], ask_for="nobody-made-it")
        assert (await described(pid, chosen["kafka"]))[1] == set()


@contextmanager
def running(home: Home) -> Iterator[int]:
    with (
        home.log("kafka").open("ab") as log,
        subprocess.Popen(apache_kafka.command(home), cwd=home.root, stdout=log, stderr=log) as broker,
    ):
        yield broker.pid
        broker.terminate()


async def described(pid: int, port: int, make: str = "", ask_for: str = "") -> tuple[str, set[str]]:
    """Id and topics of the cluster, as soon as it is ready, after making a topic or asking for one."""
    ready = probes.kafka_ready(port)
    async with asyncio.timeout(60):
        while not await ready(pid):
            pass
    admin = AIOKafkaAdminClient(bootstrap_servers=f"127.0.0.1:{port}")
    await admin.start()
    try:
        if make:
            await admin.create_topics([NewTopic(make, 1, 1)])
        if ask_for:
            await admin.describe_topics([ask_for])
        cluster = (await admin.describe_cluster())["cluster_id"]
        return str(cluster), set(await admin.list_topics())
    finally:
        await admin.close()
