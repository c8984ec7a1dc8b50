"""Hot routes: endpoints that are asked so often that the framework's own way to them costs too much.

An endpoint is made hot by `@hot`. It stays an ordinary one with the same documentation: what the short way
does not know (an `Idempotency-Key`, a request that is not acceptable) takes the framework's way to the same
endpoint.
See docs/adr/0030-hot-routes.md.
"""

import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import zip_longest
from types import UnionType
from typing import Any, Generic, TypeVar, Union, get_args, get_origin

from asyncpg import Record
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send
from typing_extensions import TypedDict

from common.db.reading import NotAsPresumed, ReadingSession
from common.db.session import AnySession
from common.errors import ApiError
from common.ids import Kind, TypeIdText, to_text
from common.schema import Page, is_time, marks_of
from common.web import error_handlers
from common.web.deps import READS, get_caller, get_kernel, keyed_session, respect_suspension
from common.web.idempotency import HEADER
from common.web.kernel import kernel_of
from common.web.routes import HOT, Handler, routes_in

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])
ItemT = TypeVar("ItemT", bound=BaseModel)
_ABSENT: Any = object()
_KEY = HEADER.lower().encode()
_STACKS = ("fastapi_middleware_astack", "fastapi_inner_astack", "fastapi_function_astack")


def hot(endpoint: Endpoint) -> Endpoint:
    """Serve the endpoint by the short way.

    It takes a `HotSession`, `Shared` and `Caller` if it likes, values of path and query, and one body; it
    answers with a `Response` (see `Writer`) and names its `response_model`.
    """
    setattr(endpoint, HOT, _make_handler)
    return endpoint


def _make_handler(route: APIRoute, ordinary: Handler) -> Handler:
    read = _Reader(route)

    async def ask(request: Request, session: AnySession, values: dict[str, Any]) -> Response:
        respect_suspension(session, request)
        known: dict[Any, Any] = {
            keyed_session: session,
            get_kernel: kernel_of(request),
            get_caller: session.context,
        }
        values.update((name, known[call]) for name, call in read.shared)
        response: Response = await route.endpoint(**values)
        return response

    async def handle(request: Request) -> Response:
        values = None if HEADER in request.headers else await read.values(request)
        if values is None:
            return await _take_ordinary_way(request, ordinary)
        kernel, caller = kernel_of(request), request.state.caller
        reading = kernel.database.read(caller) if request.method in READS else None
        if reading is not None:
            with contextlib.suppress(NotAsPresumed):
                response = await _confirmed(reading, ask(request, reading, values))
                kernel.rate_limiter.learn(caller.tenant_id, reading.standing.features)
                return response
        async with kernel.enter_hot(caller) as session:
            response = await ask(request, session, values)
            await session.commit()
        return response

    return handle


async def _confirmed(session: ReadingSession, answering: Awaitable[Response]) -> Response:
    """The answer, or the refusal, of an endpoint to somebody who stands as the session presumed.

    Raises:
        NotAsPresumed: they do not.
    """
    try:
        response = await answering
    except ApiError:
        await session.confirm()
        raise
    await session.confirm()
    return response


def shorten(app: FastAPI) -> ASGIApp:
    """The application with the short way to its hot routes, if it has any."""
    is_hot = any(hasattr(route.endpoint, HOT) for route in routes_in(app.routes))
    return HotRoutes(app) if is_hot else app


class HotRoutes:
    """Finds hot routes by method and path, before the framework goes through its layers and all routes."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._whole: dict[tuple[str, str], _Hot] = {}
        """By method and path."""
        self._ending: dict[tuple[str, str], _Hot] = {}
        """Those whose path ends in a parameter, by what is before it."""
        routes = list(routes_in(app.routes))
        for place, route in enumerate(routes):
            if hasattr(route.endpoint, HOT) and not any(_takes_from(one, route) for one in routes[:place]):
                self._add(route)

    def _add(self, route: APIRoute) -> None:
        hot = _Hot(route, route.get_route_handler())
        fixed, _, parameter = route.path.partition("{")
        if parameter and hot.names != [parameter.removesuffix("}")]:
            return  # one in the middle, or several: the framework's way
        found = self._ending if parameter else self._whole
        found.update({(method, fixed): hot for method in route.methods or ()})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found, path_params = self.find(scope.get("method", ""), scope.get("path", ""))
        if found is None or any(name == _KEY for name, _ in scope["headers"]):
            await self._app(scope, receive, send)
            return
        scope.update(app=self._app, route=found.route, endpoint=found.route.endpoint, path_params=path_params)
        request = Request(scope, receive, send)
        try:
            response = await found.handle(request)
        except Exception as error:  # noqa: BLE001 - nobody behind it would answer
            response = await error_handlers.answer(request, error)
        await response(scope, receive, send)

    def find(self, method: str, path: str) -> tuple["_Hot | None", dict[str, str]]:
        """The hot route, if that is what the framework would find, and what its path says."""
        before, slash, value = path.rpartition("/")
        ending = self._ending.get((method, before + slash)) if value else None
        if ending is not None:
            return ending, {ending.names[0]: value}
        return self._whole.get((method, path)), {}


@dataclass(frozen=True, slots=True)
class _Hot:
    route: APIRoute
    handle: Handler

    @property
    def names(self) -> list[str]:
        """The parameters of the path."""
        return [field.alias for field in self.route.dependant.path_params]


def _takes_from(earlier: APIRoute, route: APIRoute) -> bool:
    """Whether the framework would ask `earlier` for some of the requests that are the route's."""
    if not (earlier.methods or set[str]()) & (route.methods or set[str]()):
        return False
    parts = zip_longest(earlier.path.split("/"), route.path.split("/"), fillvalue="")
    return all(one == other or (one and other and "{" in one + other) for one, other in parts)


async def _take_ordinary_way(request: Request, ordinary: Handler) -> Response:
    """Where the framework was not passed, its stacks are made here: it closes what it opened with them.

    That is before the route class has the answer, which must not happen to keyed requests.
    """
    if _STACKS[0] in request.scope:
        return await ordinary(request)
    async with AsyncExitStack() as stack:
        for name in _STACKS:
            request.scope[name] = await stack.enter_async_context(AsyncExitStack())
        return await ordinary(request)


class _Reader:
    """Reads the arguments of an endpoint from a request, as the framework would.

    Raises:
        TypeError: the endpoint takes what hot routes do not know.
    """

    def __init__(self, route: APIRoute) -> None:
        dependant = route.dependant
        self.shared = [(str(one.name), one.call) for one in dependant.dependencies]
        unknown = [call for _, call in self.shared if call not in (keyed_session, get_kernel, get_caller)]
        if unknown or dependant.header_params or dependant.cookie_params or len(dependant.body_params) > 1:
            raise TypeError(
                f"{route.path}: not for a hot route: {unknown or 'headers, cookies, several bodies'}"
            )
        self._places = (
            ("path", dependant.path_params),
            ("query", dependant.query_params),
        )
        if any(_is_several(field.field_info.annotation) for _, fields in self._places for field in fields):
            raise TypeError(f"{route.path}: not for a hot route: a parameter that is given several times")
        self._body = dependant.body_params[0] if dependant.body_params else None
        self._plain = {
            field.name: field.get_default()
            for _, fields in self._places
            for field in fields
            if not field.field_info.is_required() and isinstance(field.get_default(), str | int | None)
        }
        """Defaults that need no copy."""

    async def values(self, request: Request) -> dict[str, Any] | None:
        """The arguments by name; None when something about them is not acceptable, or needs a closer look."""
        given: dict[str, Mapping[str, Any]] = {"path": request.path_params, "query": request.query_params}
        values: dict[str, Any] = {}
        for place, fields in self._places:
            for field in fields:
                value = given[place].get(field.alias, _ABSENT)
                if value is not _ABSENT or field.name not in self._plain:
                    value = _valid(field, value)
                else:
                    value = self._plain[field.name]
                if value is _ABSENT:
                    return None
                values[field.name] = value
        if self._body is None:
            return values
        if request.headers.get("content-type") != "application/json":
            return None
        try:
            body = await request.json()
        except (ValueError, RecursionError, ClientDisconnect):
            return None
        values[self._body.name] = value = _valid(self._body, body)
        return None if value is _ABSENT else values


def _valid(field: Any, given: Any) -> Any:
    """The value of the field, or `_ABSENT` where there is no acceptable one."""
    if given is _ABSENT:
        return _ABSENT if field.field_info.is_required() else field.get_default()
    value, errors = field.validate(given)
    return _ABSENT if errors else value


def _is_several(annotation: Any) -> bool:
    parts = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    return any(
        isinstance(get_origin(part) or part, type)
        and issubclass(get_origin(part) or part, Sequence)
        and part is not str
        for part in parts
    )


class Writer(Generic[ItemT]):
    """Writes records as the bytes that FastAPI would have made of `model` and of its pages.

    A record has the model's fields in their order (`statements.columns_of`). What the database holds was
    accepted when it was written, so it is serialised by pydantic, and not judged again.
    """

    def __init__(self, model: type[ItemT]) -> None:
        annotations = {name: field.rebuild_annotation() for name, field in model.model_fields.items()}
        self._kinds = {name: kind for name, one in annotations.items() if (kind := _kind_of(one)) is not None}
        times = [name for name, one in annotations.items() if is_time(one)]
        item = _twin(model, **dict.fromkeys((*self._kinds, *times), str | None))
        self._item = TypeAdapter[Any](item)
        self._page = TypeAdapter[Any](_twin(Page, data=list[item]))

    def one(self, record: Record | Mapping[str, Any], status: int = 200) -> Response:
        return _answer(self._item.dump_json(self._items([record])[0]), status)

    def page(self, records: Sequence[Record], next_cursor: str | None) -> Response:
        items = self._items(records)
        return _answer(self._page.dump_json({"data": items, "next_cursor": next_cursor}), 200)

    def _items(self, records: Sequence[Record | Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The records with the texts of their identifiers. One like that of the record before is not made
        again, as those of what things are in mostly are."""
        items = [dict(record) for record in records]
        for name, kind in self._kinds.items():
            last = text = None
            for item in items:
                value = item[name]
                if value != last:
                    last, text = value, None if value is None else to_text(kind, value)
                item[name] = text
        return items


def _answer(content: bytes, status: int) -> Response:
    return Response(content, status, media_type="application/json")


def _kind_of(annotation: Any) -> Kind | None:
    """The kind of an identifier."""
    return next((mark.kind for mark in marks_of(annotation) if isinstance(mark, TypeIdText)), None)


def _twin(model: type[BaseModel], **instead: Any) -> Any:
    """The same fields for mappings; `instead`: annotations of fields.

    Raises:
        TypeError: the model serialises in a way of its own.
    """
    fields = model.model_fields
    decorators = model.__pydantic_decorators__
    if decorators.field_serializers or decorators.model_serializers or decorators.computed_fields:
        raise TypeError(f"{model.__name__} has serializers of its own")
    if any(field.serialization_alias for field in fields.values()):
        raise TypeError(f"{model.__name__} has aliases")
    make: Any = TypedDict  # at run time, so checkers need not understand it
    return make(
        model.__name__,
        {name: instead.get(name) or field.rebuild_annotation() for name, field in fields.items()},
    )
