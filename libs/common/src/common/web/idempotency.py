"""`Idempotency-Key` on POST routes of tenants."""

from starlette.requests import Request
from starlette.responses import Response

from common.context import UserContext
from common.db.idempotency import Answer, KeyedRequest
from common.db.session import TenantSession
from common.errors import Invalid
from common.web.workspace_access import roles_judged, would_pass

HEADER = "Idempotency-Key"
_KEPT_HEADERS = ("content-type", "location", "etag")


class Replayed(Exception):
    """Ends a request whose answer is stored already."""

    def __init__(self, response: Response) -> None:
        super().__init__("replayed")
        self.response = response


async def await_body(request: Request) -> None:
    """Have the body of a request with a key before a transaction begins: one that declares none is read by
    nobody else, and who sends it slowly would hold a connection meanwhile."""
    if request.method == "POST" and HEADER in request.headers:
        await request.body()


async def replay_or_take(request: Request, session: TenantSession) -> None:
    """Take the request's key for this transaction; without the header nothing happens.

    Whoever has lost since what let them ask in a workspace gets no stored answer. Their request goes on and
    is refused where the first one was let in; a second effect could not be committed beside the key.

    Raises:
        Replayed: the key's answer is stored.
        Invalid: the key is malformed or was used for another request.
    """
    key = request.headers.get(HEADER)
    if request.method != "POST" or key is None:
        return
    if not (1 <= len(key) <= 255 and key.isascii() and key.isprintable()):
        raise Invalid([(f"/header/{HEADER}", "must be 1 to 255 printable ASCII characters")])
    caller: UserContext = request.state.caller
    target = f"{request.url.path}?{request.url.query}".encode()
    route: str = request.scope["route"].path_format
    keyed = KeyedRequest.of(str(caller.user_id), route, key, target, await request.body())
    answer = await keyed.find_answer(session)
    if answer is not None and await would_pass(session, answer.roles):
        headers = {**answer.headers, "Idempotent-Replayed": "true"}
        raise Replayed(Response(answer.body, answer.status, headers))
    request.state.keyed = (keyed, session)


async def keep_answer(request: Request, response: Response) -> None:
    """Store a 2xx answer with the change; a failure frees the key."""
    taken: tuple[KeyedRequest, TenantSession] | None = getattr(request.state, "keyed", None)
    if taken is None or not 200 <= response.status_code < 300:
        return
    keyed, session = taken
    headers = {name: response.headers[name] for name in _KEPT_HEADERS if name in response.headers}
    roles = roles_judged(session)
    await keyed.store(session, Answer(response.status_code, headers, bytes(response.body), roles))
