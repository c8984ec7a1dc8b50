"""HTTP calls of one service to another."""

import httpx


class _Transport(httpx.AsyncHTTPTransport):
    """The library's own, for uvloop: a connection that is reset while it is being made has no transport, or
    a closed one, and the errors that come of it are none of the library's."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except (AttributeError, RuntimeError) as error:
            raise httpx.ConnectError("the connection broke while it was made", request=request) from error


def make_client(timeout: float = 5.0) -> httpx.AsyncClient:
    """A client for services of the platform, which no proxy of the environment stands before.

    `timeout` in seconds. Whatever keeps a call from its answer is an `httpx.HTTPError`.
    """
    return httpx.AsyncClient(transport=_Transport(), trust_env=False, timeout=timeout)
