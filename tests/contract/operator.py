"""An operator, and the tenant that is theirs to suspend and to limit, so that no other notices."""

import time
from uuid import uuid4

import httpx

from penguinmails import services
from penguinmails.stack import Stack
from tests.contract.company import PASSWORD, Company

_TOKEN_SECONDS = 400


class Operator:
    """Created at the command line, logged in over HTTP."""

    def __init__(self, stack: Stack, http: httpx.Client, subject: Company) -> None:
        self._http, self.subject = http, subject
        self.email = f"{uuid4().hex}@penguinmails.example"
        words = ("create", "--email", self.email, "--name", "Opal", "--password-stdin")
        services.ask(stack, ["auth"], "operator", *words, said=PASSWORD)
        self._log_in()

    def _log_in(self) -> None:
        body = {"email": self.email, "password": PASSWORD}
        answer = self._http.post("/api/v1/platform/auth/login", json=body)
        assert answer.is_success, answer.text
        self.headers = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        self._since = time.monotonic()

    def comparison(self, tenant: str | None) -> str:
        """Id of a comparison with Stripe, of the tenant or of all."""
        path = "/api/v1/platform/billing" + (f"/{tenant}" if tenant else "") + "/reconciliations"
        answer = self._http.post(path, headers=self.headers, json={"dry_run": True})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["job_id"])

    def stay_signed_in(self) -> None:
        """Have a new token before the old one expires."""
        if time.monotonic() - self._since > _TOKEN_SECONDS:
            self._log_in()
