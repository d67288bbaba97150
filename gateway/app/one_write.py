"""uvicorn's protocol, with an answer's head and body in one write: half the system calls of a small answer.

Also what is no HTTP at all, or a method that HTTP does not have, is refused with an OperationOutcome; and requests over
TLS say so, with the client's certificate (`tls.extension`).

uvicorn writes the head when it is told of it and the body when that comes; our answers give both at once. On the two
cores of the benchmarks a write costs about as much as all our own code for a read. A head whose body does not come in
the same turn of the loop (a stream) is written by itself.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.app import tls

_HEAD = b"HTTP/1.1 "
_NO_HTTP = (
    b'{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid",'
    b'"diagnostics":"the request is not HTTP that is understood here"}]}'
)
_REFUSAL = b"".join(
    (
        b"HTTP/1.1 400 Bad Request\r\ncontent-type: application/fhir+json; charset=utf-8\r\ncontent-length: ",
        str(len(_NO_HTTP)).encode(),
        b"\r\nconnection: close\r\n\r\n",
        _NO_HTTP,
    )
)


class OneWriteProtocol(HttpToolsProtocol):
    """What uvicorn is given as its `http`."""

    _tls: dict[object, object] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, and put the joining in front of it."""
        super().connection_made(_Joining(transport))  # type: ignore[arg-type]
        self._tls = tls.extension(transport)

    def on_message_begin(self) -> None:
        """Begin a request; of a connection over TLS it says what ASGI's TLS extension says."""
        super().on_message_begin()
        if self._tls is not None:
            self.scope["extensions"] = {"tls": dict(self._tls)}

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - the parser's words say nothing to a caller
        """Refuse what cannot be parsed, whatever address it was meant for."""
        self.transport.write(_REFUSAL)
        self.transport.close()


class _Joining:
    """A transport that keeps a head until what follows it, or until the end of this turn of the loop."""

    __slots__ = ("_head", "_loop", "_transport", "is_closing", "pause_reading", "resume_reading")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self._loop = asyncio.get_running_loop()
        self.is_closing = transport.is_closing
        self.pause_reading = transport.pause_reading
        self.resume_reading = transport.resume_reading

    def write(self, data: bytes) -> None:
        if self._head:
            data, self._head = self._head + data, b""
        elif data.startswith(_HEAD):
            self._head = data
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._head:
            data, self._head = self._head, b""
            if not self._transport.is_closing():
                self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
