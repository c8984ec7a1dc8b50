"""A client's way through a sign-up that takes longer than its answer waits."""

import time
from typing import Any
from uuid import uuid4

import httpx

PATIENCE_SECONDS = 60.0


def ask_until_ready(
    http: httpx.Client, path: str, body: dict[str, Any], patience: float = PATIENCE_SECONDS
) -> httpx.Response:
    """Sign up with a key, and ask again with it, whenever `Retry-After` says so, while the answer is 202.

    The last answer: still 202 when that takes more than `patience` seconds.
    """
    headers, deadline = {"Idempotency-Key": str(uuid4())}, time.monotonic() + patience
    while True:
        answer = http.post(path, json=body, headers=headers)
        if answer.status_code != 202 or time.monotonic() > deadline:
            return answer
        time.sleep(float(answer.headers["retry-after"]))
