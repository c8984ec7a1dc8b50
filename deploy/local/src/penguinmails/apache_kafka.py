"""Apache Kafka as the stack's broker: one node, its own controller (KRaft), its log on disk.

The log outlives `down` and `kill -9`: what a process has written is in the kernel's hands, and only a crash
of the machine could lose it. So nothing is flushed after each message; replicas do that in production.
Paths in Kafka's settings are relative to the home: its file format has no way to write every path.
"""

import base64
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

from penguinmails import files
from penguinmails.binaries import BinaryMissing
from penguinmails.config import LOOPBACK
from penguinmails.home import REPOSITORY, Home

JARS = REPOSITORY / "deploy" / "kafka" / "lib"
OLDEST_JAVA = 17
NEEDS_JAVA = f"Apache Kafka needs Java {OLDEST_JAVA} or newer; on Debian: apt install openjdk-17-jre-headless"

# Small and quick to start, for one machine's tests: some 200 MB and two to four seconds.
_MACHINE = ("-Xms48m", "-Xmx96m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData")
_LOGGING = ("defaultLogLevel=warn", "showDateTime=true", "dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXX")
_SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{inner_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{inner_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs={log}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=8388608
# A killed broker is let in again when its session has ended; by default that takes nine seconds.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=400
controller.quorum.election.timeout.ms=200
controller.quorum.election.backoff.max.ms=200
"""


def make_log(home: Home, ports: Mapping[str, int]) -> bool:
    """Write the settings and, unless it is there, an empty log with an id of its own; True when made now.

    Raises:
        BinaryMissing: Kafka was not fetched, or there is no Java that runs it.
    """
    _check_programs()
    files.write_atomically(home.kafka_settings, _settings(home, ports), mode=0o600)
    if (home.kafka_log / "meta.properties").exists():
        return False
    if home.kafka_log.exists():  # a format that was interrupted
        shutil.rmtree(home.kafka_log)
    _format(home)
    return True


def command(home: Home) -> list[str]:
    """To be run in the home, as is the formatting."""
    return [*_java(), "kafka.Kafka", home.kafka_settings.name]


def _settings(home: Home, ports: Mapping[str, int]) -> str:
    places = {"host": LOOPBACK, "port": ports["kafka"], "inner_port": ports["kafka_inner"]}
    return _SETTINGS.format(**places, log=home.kafka_log.name)


def _format(home: Home) -> None:
    cluster = base64.urlsafe_b64encode(uuid4().bytes).decode().rstrip("=")
    options = [f"--cluster-id={cluster}", f"--config={home.kafka_settings.name}"]
    tool = [*_java(), "kafka.tools.StorageTool", "format", *options]
    done = subprocess.run(tool, cwd=home.root, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BinaryMissing(f"Apache Kafka's log could not be made:\n{done.stdout}{done.stderr}")


def _java() -> list[str]:
    logging = [f"-Dorg.slf4j.simpleLogger.{setting}" for setting in _LOGGING]
    return [_program(), *_MACHINE, *logging, "-cp", str(JARS / "*")]


def _program() -> str:
    """Java of JAVA_HOME, else of the PATH."""
    home = os.environ.get("JAVA_HOME")
    program = shutil.which("java", path=str(Path(home, "bin")) if home else None)
    if program is None:
        raise BinaryMissing(NEEDS_JAVA)
    return program


def _check_programs() -> None:
    if not any(JARS.glob("kafka_*.jar")):
        raise BinaryMissing("Apache Kafka is not here: run `make kafka`")
    told = subprocess.run([_program(), "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        raise BinaryMissing(f"{NEEDS_JAVA}; {_program()} is older")
