"""Requests exactly as they are sent, and their answers."""

import json
import re
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast
from urllib.parse import urlencode

import httpx

from penguinmails.isolation import typeids

Json = dict[str, Any]
Headers = tuple[tuple[str, str], ...]
_TOKEN = re.compile(
    r"\bey[\w-]+\.[\w-]+\.[\w-]*|(?<![\w-])[\w-]{80,}|(?<=token\": \")[^\"]+|(?<=token\":\")[^\"]+"
)
"""Access tokens; opaque ones of sessions and links, 86 letters long; whatever a field calls a token."""
_PATIENCE = 5
_EXCERPT = 600


class CannotCheck(Exception):
    """The check could not be carried out; says what the operator can do."""


@dataclass(frozen=True)
class Request:
    """`target`: path and query, never normalized. `credential`: None for one's own token, else what stands
    instead of it and what to call that in a report."""

    method: str
    target: str
    headers: Headers = ()
    body: Any = None
    credential: tuple[str, str] | None = None

    def having(self, *headers: tuple[str, str]) -> "Request":
        return replace(self, headers=(*self.headers, *headers))

    def asking(self, *query: tuple[str, str]) -> "Request":
        joint = "&" if "?" in self.target else "?"
        return replace(self, target=f"{self.target}{joint}{urlencode(query)}")

    @property
    def text(self) -> str:
        """All that the request says."""
        return f"{self.target} {self.headers} {json.dumps(self.body)}"

    def curl(self, url: str, who: str) -> str:
        """The request as a line for a shell; tokens are named, not shown."""
        words = ["curl", "-i", "--path-as-is", "-X", self.method]
        for name, value in self._all_headers(f"Bearer ${who}_TOKEN", shown=True):
            words += ["-H", f'"{name}: {value}"' if "$" in value else shlex.quote(f"{name}: {value}")]
        if self.body is not None:
            words += ["-d", shlex.quote(redacted(json.dumps(self.body)))]
        return " ".join([*words, shlex.quote(f"{url}{self.target}")])

    def as_sent(self, own: str) -> list[tuple[str, str]]:
        return self._all_headers(f"Bearer {own}", shown=False)

    def _all_headers(self, own: str, shown: bool) -> list[tuple[str, str]]:
        value = own if self.credential is None else self.credential[1 if shown else 0]
        authorization = [("Authorization", value)] if value else []
        content = [("Content-Type", "application/json")] if self.body is not None else []
        rest = [(name, redacted(text) if shown else text) for name, text in self.headers]
        return [*authorization, *content, *rest]


@dataclass(frozen=True)
class Answer:
    """Status 0: the connection was closed without an answer."""

    status: int
    headers: list[tuple[str, str]]
    text: str
    seconds: float

    @property
    def success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def json(self) -> Any:
        """None when it is not JSON."""
        try:
            return json.loads(self.text)
        except ValueError:
            return None

    @property
    def fields(self) -> Json:
        """Empty when it is no JSON object."""
        document = self.json
        return cast("Json", document) if isinstance(document, dict) else {}

    @property
    def problem(self) -> str:
        """The stable code of an error, or nothing."""
        return str(self.fields.get("code", ""))

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")

    def told(self) -> str:
        """For a report: status and the beginning of the body, without tokens."""
        return f"{self.status} {redacted(self.text)[:_EXCERPT]}".strip()


def redacted(text: str) -> str:
    return _TOKEN.sub("<token>", text)


@dataclass
class Wire:
    """One party's connection to the installation. `sent`: every identifier it ever named."""

    http: httpx.Client
    deadline: float
    agent: str
    on_wait: Callable[[str], None]
    count: int = 0
    sent: set[str] = field(default_factory=set[str])

    def send(self, request: Request, token: str, patient: bool = True) -> Answer:
        """The answer; 429 and 503 are waited out as `Retry-After` asks, unless impatient.

        Raises:
            CannotCheck: no connection, or no time left.
        """
        self.sent |= {text for _, text in typeids.find(request.text)}
        answer = self._once(request, token)
        tries = 1
        while patient and answer.status in (429, 503) and tries < _PATIENCE:
            self.pause(answer)
            answer = self._once(request, token)
            tries += 1
        if patient and answer.status in (429, 503):
            raise CannotCheck(f"{request.method} {request.target} goes on answering {answer.told()}")
        return answer

    def pause(self, answer: Answer) -> None:
        """Wait as long as the answer asks; a second when it does not say."""
        text = answer.header("retry-after")
        seconds = float(text) if text.isdigit() else 1.0
        if time.monotonic() + seconds > self.deadline:
            raise CannotCheck(f"asked to come back in {seconds:.0f} s, which is past --timeout")
        self.on_wait(f"asked to wait {seconds:.0f} s ({answer.status})")
        time.sleep(seconds)

    def _once(self, request: Request, token: str) -> Answer:
        if time.monotonic() > self.deadline:
            raise CannotCheck("there was not enough time; give it more with --timeout")
        self.count += 1
        base = self.http.base_url.raw_path.rstrip(b"/")
        content = None if request.body is None else json.dumps(request.body).encode()
        sending = self.http.build_request(
            request.method,
            "/",
            headers=[("User-Agent", self.agent), *request.as_sent(token)],
            content=content,
            extensions={"target": base + request.target.encode()},
        )
        began = time.monotonic()
        try:
            got = self.http.send(sending)
        except (httpx.RemoteProtocolError, httpx.ReadError, httpx.WriteError):
            return Answer(0, [], "", time.monotonic() - began)
        except httpx.HTTPError as problem:
            raise CannotCheck(f"{request.method} {request.target} got no answer: {problem}") from problem
        headers = [(name.lower(), value) for name, value in got.headers.multi_items()]
        return Answer(got.status_code, headers, got.text, time.monotonic() - began)
