"""The story of the demo, told over HTTP through the gateway, and the ways in that `up` prints."""

import json
import re
import shlex
import time
from typing import Any, cast
from uuid import uuid4

import httpx
from rich.table import Table

from penguinmails import files, mailbox, trace
from penguinmails.display import console, plain
from penguinmails.signing_up import ask_until_ready
from penguinmails.stack import Stack
from penguinmails.terminal import escape, typed

Json = dict[str, Any]

PATIENCE = 10.0
_LINK = re.compile(r"token=([A-Za-z0-9_.-]+)")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT")
COLUMNS = ("occurred_at", "action", "severity", "actor", "target")

_AFTERWORD = """
One trace: the gateway let the request in, the database hid the row, the service told of the miss,
and the audit service found out whose it was. Next: `penguinmails logs --trace {trace}`,
`penguinmails isolation check`, `penguinmails mail list`."""


class DemoFailed(Exception):
    """The platform answered otherwise than the story tells."""


class Client:
    """One tenant's owner."""

    def __init__(self, gateway: str, token: str = "") -> None:
        headers = {"authorization": f"Bearer {token}"} if token else {}
        self.http = httpx.Client(base_url=f"{gateway}/api/v1", headers=headers, timeout=20, trust_env=False)

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def call(self, method: str, path: str, body: Json | None = None, expect: int = 200) -> httpx.Response:
        return _expected(self.http.request(method, path, json=body), expect)


def _expected(answer: httpx.Response, status: int) -> httpx.Response:
    if answer.status_code != status:
        asked = f"{answer.request.method} {answer.request.url.path}"
        raise DemoFailed(f"{asked}: {answer.status_code} instead of {status}: {answer.text[:500]}")
    return answer


def sign_up(gateway: str, company: str, plan: str = "enterprise") -> Json:
    """What the sign-up of a new tenant answers when it is ready."""
    mark = uuid4().hex[:8]
    body = {
        "company_name": f"{company} {mark}",
        "owner_email": f"owner+{mark}@{company.lower()}.example",
        "owner_name": f"{company} Owner",
        "plan": plan,
    }
    with Client(gateway) as client:
        answer = ask_until_ready(client.http, "/tenants", body)
        return _expected(answer, 201).json()


def show_ways_in(stack: Stack) -> None:
    """A table of addresses, a token, and three lines to paste."""
    gateway = stack.config.url("gateway")
    try:
        login = _demo_login(stack, gateway)
    except (DemoFailed, httpx.HTTPError) as problem:
        console.print(f"\n[yellow]No demo tenant: {escape(str(problem))}[/]")
        return
    files.write_atomically(stack.home.demo_token, login["access_token"], mode=0o600)
    console.print(_addresses(stack, gateway))
    console.print(
        typed("[bold]Token of the demo tenant's owner[/] (15 minutes; `penguinmails up` prints a new one)")
    )
    plain(login["access_token"])
    console.print("\n[bold]Try it[/]")
    for line in _curl_lines(stack, gateway, login):
        plain(line)


def _demo_login(stack: Stack, gateway: str) -> Json:
    """The remembered demo tenant as long as its session lasts, or a new one."""
    remembered = stack.home.demo_login
    login: Json = json.loads(remembered.read_text()) if remembered.exists() else {}
    if not (login and _works(gateway, login["access_token"])):
        login = _refreshed(gateway, login) or sign_up(gateway, "Penguins")
    files.write_atomically(remembered, json.dumps(login), mode=0o600)
    return login


def _works(gateway: str, token: str) -> bool:
    with Client(gateway, token) as client:
        return client.http.get("/auth/me").status_code == 200


def _refreshed(gateway: str, login: Json) -> Json | None:
    """The log-in with new tokens; None when there was none, or its session is over."""
    wanted = {"refresh_token": login.get("refresh_token") or ""}
    with Client(gateway) as client:
        answer = client.http.post("/auth/refresh", json=wanted)
    return {**login, **answer.json()} if answer.status_code == 200 else None


def _addresses(stack: Stack, gateway: str) -> Table:
    table = Table(box=None, show_header=False, pad_edge=False, title_justify="left")
    rows = {
        "API": f"{gateway}/api/v1",
        "reference": f"{gateway}/docs",
        "OpenAPI": f"{gateway}/openapi.json",
        "mails": f"{stack.home.mail} (penguinmails mail list)",
        "logs": f"{stack.home.logs} (penguinmails logs -f)",
        "all the rest": "penguinmails env --json",
    }
    table.add_row("", "")
    for name, value in rows.items():
        table.add_row(f"[bold]{name}[/]", escape(typed(value)))
    table.add_row("", "")
    return table


def _curl_lines(stack: Stack, gateway: str, login: Json) -> list[str]:
    token = f'-H "Authorization: Bearer $(cat {shlex.quote(str(stack.home.demo_token))})"'
    campaign = {"workspace_id": login["default_workspace_id"], "name": "Spring", "subject": "Hello"}
    body = shlex.quote(json.dumps(campaign))
    return [
        f"curl -s {token} {gateway}/api/v1/auth/me",
        f"curl -s {token} -H 'Content-Type: application/json' -d {body} {gateway}/api/v1/campaigns",
        f"curl -s {token} {gateway}/api/v1/tenants/{login['tenant_id']}/settings",
    ]


def play(stack: Stack) -> None:
    """Raises DemoFailed when the platform does not keep to the story."""
    console.print(
        "Two companies, Adelie and Gentoo, share this installation. Adelie works; Gentoo tries to look at "
        "its things.\nEverything below is asked through the gateway, as any client would.\n"
    )
    gateway = stack.config.url("gateway")
    first, second = (_provision(gateway, company) for company in ("Adelie", "Gentoo"))
    victim, attacker = (Client(gateway, tenant["access_token"]) for tenant in (first, second))
    workspace, campaign = _work(victim)
    _invite(stack, victim, workspace, campaign)
    attempt = _attack(attacker, first["tenant_id"], campaign)
    _show_findings(attacker, victim)
    _show_trace(stack, attempt)


def _provision(gateway: str, company: str) -> Json:
    began = time.monotonic()
    tenant = sign_up(gateway, company, plan="professional")
    taken = (time.monotonic() - began) * 1000
    console.print(f"[green]✓[/] {company} signed up in {taken:.0f} ms: {tenant['tenant_id']}")
    return tenant


def _work(client: Client) -> tuple[str, str]:
    """Ids of a workspace and of a campaign in it."""
    me = client.call("GET", "/auth/me").json()
    console.print(f"[green]✓[/] the token works at once: {me['email']}, {me['role']}")
    workspace = client.call("POST", "/workspaces", {"name": "Colony"}, expect=201).json()["workspace_id"]
    campaign = {"workspace_id": workspace, "name": "Spring", "subject": "Fish are back"}
    campaign_id: str = client.call("POST", "/campaigns", campaign, expect=201).json()["campaign_id"]
    contact = {"workspace_id": workspace, "email": "reader@example.com"}
    client.call("POST", "/contacts", contact, expect=201)
    console.print(f"[green]✓[/] a workspace, a contact, and {campaign_id}")
    return workspace, campaign_id


def _invite(stack: Stack, owner: Client, workspace: str, campaign: str) -> None:
    """A colleague joins by the link in the mail, logs in, and may look."""
    email, password = f"ivan+{uuid4().hex[:8]}@adelie.example", f"{uuid4()} krill"
    asked = {"email": email, "role": "member", "workspaces": [{"workspace_id": workspace, "role": "viewer"}]}
    owner.call("POST", "/invitations", asked, expect=201)
    answer = {"token": _await_token(stack, email), "name": "Ivan", "password": password}
    guest = Client(stack.config.url("gateway"))
    guest.call("POST", "/invitations/accept", answer, expect=201)
    login = guest.call("POST", "/auth/login", {"email": email, "password": password}).json()
    ivan = Client(stack.config.url("gateway"), login["access_token"])
    ivan.call("GET", f"/campaigns/{campaign}")
    ivan.call("DELETE", f"/campaigns/{campaign}", expect=403)
    console.print("[green]✓[/] Ivan was invited, set a password, logged in: he reads, and may not delete")


def _await_token(stack: Stack, recipient: str) -> str:
    """The token of the link in the newest mail to `recipient`."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        for mail in mailbox.read_all(stack.home.mail, recipient):
            if found := _LINK.search(mailbox.text(mail)):
                return found[1]
        time.sleep(0.1)
    raise DemoFailed(f"no mail for {recipient} after {PATIENCE:.0f} s")


def _attack(client: Client, victim: str, campaign: str) -> httpx.Response:
    console.print("\n[bold]Gentoo now tries to look at Adelie.[/]")
    attempt = client.call("GET", f"/campaigns/{campaign}", expect=404)
    console.print("[green]✓[/] its campaign: 404, as if it had never existed")
    client.call("GET", f"/tenants/{victim}/settings", expect=403)
    console.print("[green]✓[/] its settings by name: 403\n")
    return attempt


def _show_findings(attacker: Client, victim: Client) -> None:
    for title, client in (("What Gentoo's own log says", attacker), ("What Adelie learns", victim)):
        events = _await_flagged(client)
        table = Table(title=f"{title} (flag cross_tenant_attempt)", title_justify="left")
        for column in COLUMNS:
            table.add_column(column, overflow="fold")
        for event in events:
            table.add_row(*(_cell(event.get(column)) for column in COLUMNS))
        console.print(table)


def _await_flagged(client: Client, wanted: int = 2) -> list[Json]:
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = client.call("GET", "/audit/events?flag=cross_tenant_attempt")
        events: list[Json] = answer.json()["data"]
        if len(events) >= wanted:
            return events
        if time.monotonic() > deadline:
            raise DemoFailed(f"{len(events)} of {wanted} attempts in the audit log after {PATIENCE:.0f} s")
        time.sleep(0.1)


def _cell(value: Any) -> str:
    match value:
        case None:
            return "–"
        case str() if _TIME.match(value):
            return f"{value[11:19]} UTC"
        case list():
            return ", ".join(map(str, cast("list[Any]", value)))
        case dict():
            return "\n".join(escape(str(inner)) for inner in cast("Json", value).values() if inner)
        case _:
            return escape(str(value))


def _show_trace(stack: Stack, attempt: httpx.Response) -> None:
    trace_id = attempt.headers["x-trace-id"]
    spans = trace.find(stack.home.traces, trace_id, patience=PATIENCE, until_service="audit")
    console.print(typed(f"\n[bold]The attempt from gateway to audit[/] (penguinmails trace {trace_id})"))
    if not spans:
        raise DemoFailed(f"no spans of trace {trace_id} were collected")
    console.print(trace.tree(spans))
    console.print(typed(_AFTERWORD.format(trace=trace_id[:8])))
