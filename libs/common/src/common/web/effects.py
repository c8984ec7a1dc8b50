"""What an endpoint may do, read from its code: errors it raises, events it emits, roles it asks for.

A walk over calls by name, from the endpoint into the functions of its service and of `common.web`; what
a docstring says under `Raises` counts too. What is called through an object (`parts.dns.find`) is
not seen: such a route declares it in `responses`.
"""

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from common.contracts.envelope import Event
from common.errors import ApiError, Forbidden, ResourceNotFound
from common.web.workspace_access import WorkspaceArchived

_WALKED = ("common.web.deps", "common.web.etags", "common.db.paging")
_JUDGES = ("require_workspace", "_require")


@dataclass
class Effects:
    """`roles` of the tenant and `workspace_roles`: empty when any will do; `judged`: a workspace is asked."""

    errors: set[type[ApiError]] = field(default_factory=set[type[ApiError]])
    events: set[type[Event]] = field(default_factory=set[type[Event]])
    headers: set[str] = field(default_factory=set[str])
    roles: tuple[str, ...] = ()
    workspace_roles: tuple[str, ...] = ()
    judged: bool = False
    keyed: bool = False


def effects_of(route: APIRoute) -> Effects:
    """Everything the route's endpoint and dependencies may do."""
    found, seen = Effects(), set[Any]()
    service = route.endpoint.__module__.partition(".")[0]
    for call in (route.endpoint, *_dependencies(route.dependant)):
        found.roles = found.roles or _tenant_roles(call)
        found.keyed = found.keyed or call.__name__ == "keyed_session"
        _walk(call, service, found, seen)
    return found


def _dependencies(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    for inner in dependant.dependencies:
        if inner.call is not None and hasattr(inner.call, "__name__"):
            yield inner.call
        yield from _dependencies(inner)


def _tenant_roles(call: Callable[..., Any]) -> tuple[str, ...]:
    """The roles inside the dependency that `deps.allow` makes."""
    if not inspect.isfunction(call) or call.__qualname__ != "allow.<locals>.check":
        return ()
    return tuple(inspect.getclosurevars(call).nonlocals["roles"])


def _walk(target: Any, service: str, found: Effects, seen: set[Any]) -> None:
    if target in seen or not _is_walked(target, service):
        return
    seen.add(target)
    tree = ast.parse(textwrap.dedent(inspect.getsource(target)))
    names: dict[str, Any] = vars(inspect.getmodule(target))
    found.errors.update(kind for name in _raises(target) if _is_error(kind := names.get(name)))
    for node in _nodes(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            _note(_resolve(node, names), found)
        elif isinstance(node, ast.Call):
            _judge(node, found)
            _walk(_resolve(node.func, names), service, found, seen)
        elif isinstance(node, ast.Subscript):
            _note_header(node, found)


def _raises(target: Any) -> list[str]:
    """The names in the docstring's section `Raises`: it also tells of errors kept in a table."""
    section = (inspect.getdoc(target) or "").partition("Raises:\n")[2]
    return re.findall(r"^ {4}(\w+):", section, re.MULTILINE)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    """All nodes except the types that `except` clauses name."""
    yield tree
    for name, child in ast.iter_fields(tree):
        if isinstance(tree, ast.ExceptHandler) and name == "type":
            continue
        for one in cast(list[Any], child) if isinstance(child, list) else [child]:
            if isinstance(one, ast.AST):
                yield from _nodes(one)


def _is_walked(target: Any, service: str) -> bool:
    if not (inspect.isfunction(target) or inspect.isclass(target)):
        return False
    if inspect.isclass(target) and issubclass(target, ApiError | Event):
        return False
    module = target.__module__
    return module.partition(".")[0] == service or module in _WALKED


def _resolve(node: ast.expr, names: dict[str, Any]) -> Any:
    """What a name or dotted name stands for in a module; None when it is something local."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute) and inspect.ismodule(owner := _resolve(node.value, names)):
        return getattr(owner, node.attr, None)
    return None


def _note(thing: Any, found: Effects) -> None:
    if not inspect.isclass(thing):
        return
    if _is_error(thing):
        found.errors.add(thing)
    elif issubclass(thing, Event):
        found.events.add(thing)


def _is_error(thing: Any) -> TypeGuard[type[ApiError]]:
    return inspect.isclass(thing) and issubclass(thing, ApiError)


def _note_header(node: ast.Subscript, found: Effects) -> None:
    owner, name = node.value, node.slice
    if isinstance(owner, ast.Attribute) and owner.attr == "headers" and isinstance(name, ast.Constant):
        found.headers.add(str(name.value))


def _judge(node: ast.Call, found: Effects) -> None:
    """Note which workspace roles the call asks for, and how it refuses (`workspace_access`)."""
    if not isinstance(node.func, ast.Name) or node.func.id not in _JUDGES:
        return
    found.judged = True
    found.errors.add(ResourceNotFound)
    words = tuple(str(item.value) for item in node.args if isinstance(item, ast.Constant))
    if words:
        found.workspace_roles = words
        found.errors |= {Forbidden, WorkspaceArchived}
