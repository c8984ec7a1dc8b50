"""Whether two answers can be told apart."""

import json

from penguinmails.isolation.exchange import Answer

_OF_THE_REQUEST = ("instance", "trace_id")
_VARYING = ("date", "x-request-id", "x-trace-id", "content-length", "age", "server-timing", "retry-after")
_VARYING_PREFIXES = ("ratelimit", "x-ratelimit", "x-envoy-")


def differences(one: Answer, other: Answer, names: tuple[str, str] = ("", "")) -> list[str]:
    """In what they differ, apart from what differs between any two requests.

    `names`: the identifiers that the requests named; each answer may repeat its own in `instance` only.
    """
    if one.status != other.status:
        return [f"status {one.status} instead of {other.status}"]
    found: list[str] = []
    if _body(one) != _body(other):
        found.append(f"another body: {one.told()} instead of {other.told()}")
    mine, theirs = _headers(one, names[0]), _headers(other, names[1])
    extra, missing = sorted(mine.keys() - theirs.keys()), sorted(theirs.keys() - mine.keys())
    found += [f"header {name} only here" for name in extra]
    found += [f"header {name} only there" for name in missing]
    same = mine.keys() & theirs.keys()
    return found + [f"another header {name}" for name in sorted(same) if mine[name] != theirs[name]]


def _body(answer: Answer) -> str:
    kept = {name: value for name, value in answer.fields.items() if name not in _OF_THE_REQUEST}
    return json.dumps(kept) if answer.fields else answer.text


def _headers(answer: Answer, named: str) -> dict[str, list[str]]:
    gathered: dict[str, list[str]] = {}
    for name, value in answer.headers:
        fixed = "" if _varies(name) else value
        gathered.setdefault(name, []).append(fixed.replace(named, "…") if named else fixed)
    return gathered


def _varies(name: str) -> bool:
    return name in _VARYING or name.startswith(_VARYING_PREFIXES)
