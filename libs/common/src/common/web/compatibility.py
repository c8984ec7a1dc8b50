"""What in a new API document would break a client written against an older one."""

from collections.abc import Iterator
from typing import Any

from common.json_schema import SchemaComparison

Json = dict[str, Any]


def breaks(old: Json, new: Json) -> list[str]:
    """Every breaking change from `old` to `new`, as a sentence."""
    return list(dict.fromkeys(_Comparison(old, new).of_paths()))


class _Comparison:
    def __init__(self, old: Json, new: Json) -> None:
        self._old, self._new = old, new
        self._schemas = SchemaComparison(old["components"]["schemas"], new["components"]["schemas"])

    def of_paths(self) -> Iterator[str]:
        for path, item in self._old["paths"].items():
            for method, operation in item.items():
                now = self._new["paths"].get(path, {}).get(method)
                name = f"{method.upper()} {path}"
                if now is None:
                    yield f"{name} is gone"
                else:
                    yield from self._of_operation(name, operation, now)

    def _of_operation(self, name: str, old: Json, new: Json) -> Iterator[str]:
        if old["operationId"] != new["operationId"]:
            yield f"{name} is called {new['operationId']}, no longer {old['operationId']}"
        if new["security"] and not old["security"]:
            yield f"{name} needs an access token now"
        yield from self._of_parameters(name, old, new)
        yield from self._of_bodies(name, old, new)
        for status, answer in old["responses"].items():
            if int(status) >= 400:
                continue
            now = new["responses"].get(status)
            if now is None:
                yield f"{name} no longer answers {status}"
            else:
                yield from self._of_contents(f"{name} → {status}", answer, now, incoming=False)

    def _of_parameters(self, name: str, old: Json, new: Json) -> Iterator[str]:
        before = {(one["in"], one["name"].lower()): one for one in old["parameters"]}
        after = {(one["in"], one["name"].lower()): one for one in new["parameters"]}
        for key, one in before.items():
            if key not in after:
                yield f"{name} no longer takes {key[0]} parameter {one['name']}"
            else:
                yield from self._schemas.of_schemas(
                    f"{name} {one['name']}", one["schema"], after[key]["schema"], incoming=True
                )
        for key, one in after.items():
            if one.get("required") and not before.get(key, {}).get("required"):
                yield f"{name} needs {key[0]} parameter {one['name']}"

    def _of_bodies(self, name: str, old: Json, new: Json) -> Iterator[str]:
        before, after = old.get("requestBody", {}), new.get("requestBody", {})
        if after.get("required") and not before.get("required"):
            yield f"{name} needs a body"
        yield from self._of_contents(f"{name} body", before, after, incoming=True)

    def _of_contents(self, where: str, old: Json, new: Json, *, incoming: bool) -> Iterator[str]:
        for kind, content in old.get("content", {}).items():
            now = new.get("content", {}).get(kind)
            if now is None:
                yield f"{where}: no longer {kind}"
            else:
                yield from self._schemas.of_schemas(
                    where, content["schema"], now["schema"], incoming=incoming
                )
