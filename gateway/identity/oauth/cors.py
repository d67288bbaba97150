"""CORS for the pages of registered apps: they may use the API and the token endpoint, as SMART asks; no other page may.

Credentials are never allowed: an app brings a token, not the browser's cookies.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, Protocol

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_OPEN: Final = ("/fhir", "/oauth/token", "/oauth/revoke", "/oauth/par")
_PREFLIGHT: Final = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, PATCH, DELETE"),
    (
        b"access-control-allow-headers",
        b"accept, authorization, content-type, dpop, if-match, if-none-exist, if-none-match, prefer, x-request-id",
    ),
    (b"access-control-max-age", b"600"),
]
_EXPOSED: Final = (b"access-control-expose-headers", b"content-location, dpop-nonce, etag, last-modified, location")


class Origins(Protocol):
    """Knows where the pages of registered apps come from: `Registry`."""

    @property
    def origins(self) -> frozenset[str]:
        """The origins."""
        ...


class Cors:
    """An application, and what browsers must hear about it."""

    def __init__(self, inner: Application, origins: Origins) -> None:
        self._inner = inner
        self._origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; one without an Origin goes past at no cost."""
        origin = None
        if scope["type"] == "http" and scope["path"].startswith(_OPEN):
            origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        if origin is None or origin.decode("latin-1") not in self._origins.origins:
            await self._inner(scope, receive, send)
            return
        allowed = [(b"access-control-allow-origin", origin), (b"vary", b"origin")]
        asked = any(name == b"access-control-request-method" for name, _ in scope["headers"])
        if scope["method"] == "OPTIONS" and asked:
            await send({"type": "http.response.start", "status": 204, "headers": [*allowed, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b""})
            return

        async def told(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                kept = [(name, value) for name, value in message["headers"] if not name.startswith(b"access-control-")]
                message = {**message, "headers": [*kept, *allowed, _EXPOSED]}
            await send(message)

        await self._inner(scope, receive, told)
