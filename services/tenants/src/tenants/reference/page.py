"""The reference page, one self-contained HTML document made from the API document."""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from html import escape
from typing import Any, cast

Json = dict[str, Any]

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #2563eb; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0; display: grid; grid-template-columns: 17rem 1fr; }
nav { position: sticky; top: 0; height: 100vh; overflow: auto; padding: 1rem; box-sizing: border-box;
  border-right: 1px solid var(--line); font-size: .875rem; }
nav ul { list-style: none; margin: 0 0 1rem; padding: 0; }
nav a { color: inherit; text-decoration: none; } nav a:hover { color: var(--accent); }
main { padding: 1rem 2rem 4rem; max-width: 60rem; min-width: 0; }
section { border-top: 1px solid var(--line); padding: 1rem 0; }
h3 { margin: 0; font-size: 1rem; } h3 b { color: var(--accent); text-transform: uppercase; }
code, pre { font: .85em/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: .75rem; overflow: auto; border-radius: .4rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
td, th { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); }
summary { cursor: pointer; margin: .5rem 0; }
@media (max-width: 50rem) { body { display: block; } nav { position: static; height: auto; border: 0; } }
"""
_DIGEST = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_DIGEST}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""`Content-Security-Policy` of the page: its own style and nothing else."""


def render(raw: bytes) -> str:
    """The page of a document."""
    document: Json = json.loads(raw)
    info, groups = document["info"], _by_tag(document)
    schemas: Json = document["components"]["schemas"]
    title = escape(f"{info['title']} API {info['version']}")
    body = "".join(_group(tag, found) for tag, found in groups.items())
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{_contents(groups)}"
        f"<main><h1>{title}</h1><p>{_prose(info['description'])}</p>"
        f"<p><a href='/openapi.json'>OpenAPI document</a></p>{body}"
        f"<h2 id='schemas'>Schemas</h2>{''.join(_schema(*item) for item in schemas.items())}"
        "</main></body></html>"
    )


def _by_tag(document: Json) -> dict[str, list[tuple[str, str, Json]]]:
    groups: dict[str, list[tuple[str, str, Json]]] = {tag["name"]: [] for tag in document["tags"]}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            groups[operation["tags"][0]].append((method, path, operation))
    return groups


def _group(tag: str, found: list[tuple[str, str, Json]]) -> str:
    head = f"<h2 id='{_anchor(tag)}'>{escape(tag.capitalize())}</h2>"
    return head + "".join(_operation(*one) for one in found)


def _anchor(text: str) -> str:
    return "tag-" + re.sub(r"[^a-z0-9]+", "-", text.lower())


def _prose(text: str) -> str:
    """Escaped text with `code`."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)).replace("\n\n", "<br><br>")


def _contents(groups: dict[str, list[tuple[str, str, Json]]]) -> str:
    parts: list[str] = []
    for tag, found in groups.items():
        links = "".join(
            f"<li><a href='#{escape(one['operationId'])}'>{escape(one['summary'])}</a></li>"
            for _, _, one in found
        )
        parts.append(f"<a href='#{_anchor(tag)}'><b>{escape(tag.capitalize())}</b></a><ul>{links}</ul>")
    return f"<nav aria-label='Contents'>{''.join(parts)}<a href='#schemas'><b>Schemas</b></a></nav>"


def _operation(method: str, path: str, operation: Json) -> str:
    access = "An access token is needed." if operation["security"] else "Anybody may call it."
    return (
        f"<section id='{escape(operation['operationId'])}'>"
        f"<h3><b>{escape(method)}</b> <code>{escape(path)}</code></h3>"
        f"<p>{_prose(operation['description'])} {access}</p>"
        f"{_parameters(operation['parameters'])}"
        f"{_contents_of('Body', operation.get('requestBody', {}))}"
        f"{''.join(_answer(status, answer) for status, answer in operation['responses'].items())}</section>"
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    titles = "".join(f"<th>{escape(title)}</th>" for title in head)
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{titles}</tr>{lines}</table>"


def _parameters(parameters: list[Json]) -> str:
    if not parameters:
        return ""
    rows = (
        (
            f"<code>{escape(one['name'])}</code>",
            escape(one["in"]) + (", required" if one.get("required") else ""),
            escape(_type(one["schema"])),
            _prose(one["description"]),
        )
        for one in parameters
    )
    return _table(("parameter", "in", "type", ""), rows)


def _answer(status: str, answer: Json) -> str:
    label = f"{status} {answer['description']}"
    return _contents_of(label, answer) or f"<p>{_prose(label)}</p>"


def _contents_of(label: str, carrier: Json) -> str:
    content: Json = carrier.get("content", {})
    return "".join(
        f"<details><summary>{_prose(label)} <small>{escape(_type(one['schema']))}</small></summary>"
        f"<pre>{escape(json.dumps(one['example'], indent=2, ensure_ascii=False))}</pre></details>"
        for one in content.values()
    )


def _schema(name: str, schema: Json) -> str:
    required = schema.get("required", [])
    fields: Json = schema.get("properties", {})
    rows = (
        (
            f"<code>{escape(field)}</code>",
            escape(_type(kind)) + (", required" if field in required else ""),
            _prose(kind.get("description", "")),
        )
        for field, kind in fields.items()
    )
    about = _prose(schema.get("description", ""))
    return f"<section id='schema-{escape(name)}'><h3>{escape(name)}</h3><p>{about}</p>" + (
        _table(("field", "type", ""), rows) + "</section>"
    )


def _type(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(str(one) for one in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(cast(Json, schema.get('items', {})))}"
    return " ".join(_words(schema))


def _words(schema: Json) -> Iterator[str]:
    yield str(schema.get("const", schema.get("type", "anything")))
    if "format" in schema and schema["type"] == "string":
        yield f"({schema['format']})"
    if "maxLength" in schema and "pattern" not in schema:
        yield f"up to {schema['maxLength']} characters"
    if "pattern" in schema and "_[0-7]" in schema["pattern"]:
        yield f"({schema['pattern'][1:].partition('[')[0]}…)"
