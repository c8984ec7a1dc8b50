"""A tenant and one resource of each kind, made through the API."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import httpx
import jwt

from common.ids import Kind
from penguinmails.signing_up import ask_until_ready
from tests.e2e.surroundings import mails_to

Json = dict[str, Any]
Found = TypeVar("Found")

PASSWORD = "a walrus on a bicycle"
_TOKEN_SECONDS = 600
_LINK = re.compile(r"\?token=([A-Za-z0-9_.-]+)")


def until(look: Callable[[], Found | None], within: float = 20.0) -> Found:
    """The first true thing that `look` finds."""
    deadline = time.monotonic() + within
    while not (found := look()):
        assert time.monotonic() < deadline, f"nothing within {within} s"
        time.sleep(0.05)
    return found


class Company:
    """A tenant, seen by its owner; it makes what is asked for."""

    def __init__(self, http: httpx.Client, mails: Path) -> None:
        self._http, self._mails = http, mails
        self._made: dict[Kind, str] = {}
        self.marks: set[str] = set()
        self.sign_up()

    def sign_up(self) -> None:
        """Become a new tenant; what belonged to the one before is left alone."""
        name = uuid4().hex
        self.email = f"owner@{name}.example.com"
        body = {"company_name": name, "owner_email": self.email, "owner_name": "Olga", "plan": "enterprise"}
        made = self._read(ask_until_ready(self._http, "/api/v1/tenants", body))
        self.take_tokens(made)
        session = jwt.decode(made["access_token"], options={"verify_signature": False})["sid"]
        self._made = {
            Kind.TENANT: made["tenant_id"],
            Kind.WORKSPACE: made["default_workspace_id"],
            Kind.SESSION: session,
        }
        self.marks |= {made["tenant_id"], made["owner_user_id"], made["default_workspace_id"], name}
        self._secrets: dict[str, str] = {}
        self._since = time.monotonic()

    def take_tokens(self, issued: Json) -> None:
        """Go on with these."""
        self.headers = {"Authorization": f"Bearer {issued['access_token']}"}
        self.refresh_token = str(issued["refresh_token"])

    def stay_signed_in(self) -> None:
        """Be a new tenant before the token expires."""
        if time.monotonic() - self._since > _TOKEN_SECONDS:
            self.sign_up()

    def id_of(self, kind: Kind) -> str:
        """One resource of the company's; the same as before."""
        if kind not in self._made:
            self._made[kind] = self.make(kind)
        return self._made[kind]

    def make(self, kind: Kind) -> str:
        """A new resource; where there is but one, that."""
        made = _MAKERS[kind](self) if kind in _MAKERS else self._made[kind]
        self.marks.add(made)
        return made

    def secret_for(self, address: str) -> str:
        """The newest secret mailed to an address."""
        mail = until(lambda: mails_to(self._mails, address))[-1]
        body = mail.get_body(("plain",))
        found = _LINK.search(body.get_content()) if body is not None else None
        assert found, f"no link in the mail to {address}"
        return found[1]

    def invite(self) -> tuple[str, str]:
        """An invitation's id and address."""
        address = f"guest-{uuid4().hex}@example.com"
        made = self._post("/invitations", {"email": address, "role": "member", "workspaces": []})
        return made["invitation_id"], address

    @property
    def colleague(self) -> str:
        """Address of a user whose password is `PASSWORD`."""
        if "colleague" not in self._secrets:
            self._secrets["colleague"] = self._accept()["email"]
        return self._secrets["colleague"]

    def _accept(self) -> Json:
        body = {"token": self.secret_for(self.invite()[1]), "name": "Carl", "password": PASSWORD}
        user: Json = self._post("/invitations/accept", body)["user"]
        return user

    def user(self) -> str:
        return str(self._accept()["user_id"])

    def invitation(self) -> str:
        return self.invite()[0]

    def audit_event(self) -> str:
        """That of the sign-up, once it has arrived."""

        def look() -> str | None:
            found = self.get("/audit/events", action="tenant.provisioned")["data"]
            return str(found[0]["event_id"]) if found else None

        return until(look)

    def subscribe(self) -> None:
        """Wait until the sign-up has all its parts."""
        path = f"/tenants/{self.id_of(Kind.TENANT)}/provisioning"
        until(lambda: self.get(path)["status"] == "done")

    def posted(self, path: str, field: str, /, **body: Any) -> str:
        """The id of what a POST in the default workspace has made."""
        return str(self._post(path, {"workspace_id": self.id_of(Kind.WORKSPACE), **body})[field])

    def export(self) -> str:
        """A job: the one that is being made, or a new one."""
        answer = self._http.post(f"/api/v1/tenants/{self.id_of(Kind.TENANT)}/export", headers=self.headers)
        return str(self._read(answer)["job_id"])

    def workspace(self) -> str:
        return str(self._post("/workspaces", {"name": uuid4().hex})["workspace_id"])

    def get(self, path: str, **params: str) -> Json:
        return self._read(self._http.get(f"/api/v1{path}", headers=self.headers, params=params))

    def join_workspace(self, workspace_id: str, user_id: str) -> None:
        """See that the user is a member."""
        path = f"/api/v1/workspaces/{workspace_id}/members"
        self._http.post(path, headers=self.headers, json={"user_id": user_id, "role": "member"})

    def leave_workspace(self, workspace_id: str, user_id: str) -> None:
        """See that the user is no member."""
        self._http.delete(f"/api/v1/workspaces/{workspace_id}/members/{user_id}", headers=self.headers)

    def join_list(self, list_id: str, contact_id: str) -> None:
        self._post(f"/lists/{list_id}/contacts", {"contact_ids": [contact_id]})

    def _post(self, path: str, body: Json) -> Json:
        return self._read(self._http.post(f"/api/v1{path}", headers=self.headers, json=body))

    @staticmethod
    def _read(answer: httpx.Response) -> Json:
        assert answer.is_success, f"{answer.request.url}: {answer.text}"
        read: Json = answer.json()
        return read


_MAKERS: dict[Kind, Callable[[Company], str]] = {
    Kind.USER: Company.user,
    Kind.WORKSPACE: Company.workspace,
    Kind.INVITATION: Company.invitation,
    Kind.AUDIT_EVENT: Company.audit_event,
    Kind.JOB: Company.export,
    Kind.CAMPAIGN: lambda own: own.posted("/campaigns", "campaign_id", name="Spring"),
    Kind.CONTACT: lambda own: own.posted("/contacts", "contact_id", email=f"{uuid4().hex}@example.com"),
    Kind.LIST: lambda own: own.posted("/lists", "list_id", name=uuid4().hex),
    Kind.TEMPLATE: lambda own: own.posted(
        "/templates", "template_id", name=uuid4().hex, subject="Hello", html="<p>Hello</p>"
    ),
    Kind.DOMAIN: lambda own: own.posted("/domains", "domain_id", domain=f"{uuid4().hex}.example.com"),
}
