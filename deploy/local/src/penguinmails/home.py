"""The state directory of one local stack: everything a stack remembers lives below it."""

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[4]


@dataclass(frozen=True)
class Home:
    root: Path

    @property
    def config(self) -> Path:
        return self.root / "stack.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets.json"

    @property
    def state(self) -> Path:
        return self.root / "state.json"

    @property
    def supervisor_lock(self) -> Path:
        return self.root / "supervisor.lock"

    @property
    def up_lock(self) -> Path:
        return self.root / "up.lock"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres_data(self) -> Path:
        return self.root / "postgres"

    @property
    def kafka_log(self) -> Path:
        return self.root / "kafka"

    @property
    def kafka_settings(self) -> Path:
        return self.root / "kafka.properties"

    @property
    def mail(self) -> Path:
        return self.root / "mail"

    @property
    def files(self) -> Path:
        return self.root / "files"

    @property
    def stripe(self) -> Path:
        return self.root / "stripe"

    @property
    def telemetry(self) -> Path:
        return self.root / "telemetry"

    @property
    def traces(self) -> Path:
        return self.telemetry / "traces.jsonl"

    @property
    def gateway_config(self) -> Path:
        return self.root / "envoy.yaml"

    @property
    def demo_login(self) -> Path:
        return self.root / "demo.json"

    @property
    def demo_token(self) -> Path:
        return self.root / "demo.token"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def make(self) -> None:
        """Create what is missing. Others may pass through the root (postgres may run as another user)."""
        self.root.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o711)
        for folder in (self.logs, self.mail, self.files, self.stripe, self.telemetry):
            folder.mkdir(mode=0o700, exist_ok=True)


def default_home() -> Home:
    chosen = os.environ.get("PENGUINMAILS_HOME")
    return Home(Path(chosen).expanduser().resolve() if chosen else REPOSITORY / ".penguinmails")
