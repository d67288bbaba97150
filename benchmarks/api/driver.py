"""A closed-loop HTTP/1.1 driver: so many connections, each asks again when it has its answer. For any base URL.

Not a general client: keep-alive, no redirects, no TLS. It parses with httptools and costs 20 to 30 µs a request, so that
on a shared machine most of the time is the server's.
"""

from __future__ import annotations

import asyncio
import time
import urllib.parse
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httptools

SECONDS_MAX = 60.0


@dataclass(slots=True)
class Request:
    """One request, and what it counts as. `then` sees the answer (status, headers, body) and may give the next one."""

    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = ""
    then: Callable[[Response], Request | None] | None = None


@dataclass(slots=True)
class Response:
    """One answer."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    def text(self) -> bytes:
        return zlib.decompress(self.body, 31) if self.headers.get("content-encoding") == "gzip" else self.body


@dataclass(slots=True)
class Load:
    """What a run measured: seconds of each answer by kind, and the statuses that came."""

    seconds: float = 0.0
    waits: dict[str, list[float]] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return sum(len(waits) for waits in self.waits.values())

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0

    def quantiles(self, kind: str = "") -> dict[str, float]:
        """Return p50, p95 and p99 in milliseconds, of one kind or of all."""
        waits = sorted(self.waits.get(kind, []) if kind else [w for all_ in self.waits.values() for w in all_])
        if not waits:
            return {"p50": 0.0, "p95": 0.0, "p99": 0.0}
        return {f"p{int(s * 100)}": waits[min(len(waits) - 1, int(len(waits) * s))] * 1000 for s in (0.5, 0.95, 0.99)}

    def failures(self) -> dict[str, int]:
        return {name: count for name, count in self.statuses.items() if name.rpartition(" ")[2][:1] not in "23"}


class _Connection(asyncio.Protocol):
    """One keep-alive connection: writes a request, parses its answer, asks for the next."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, server: Server, requests: Iterator[Request], load: Load
    ) -> None:
        self.done: asyncio.Future[None] = loop.create_future()
        self._server = server
        self._requests = requests
        self._load = load
        self._transport: Any = None
        self._parser: Any = None
        self._request: Request | None = None
        self._response = Response()
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask(next(self._requests, None))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the server closed the connection"))

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except Exception as error:  # noqa: BLE001 - told to whoever measures
            self._end(error)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._response.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._response.body += body

    def on_message_complete(self) -> None:
        request, response = self._request, self._response
        assert request is not None
        response.status = self._parser.get_status_code()
        if response.status < 200:
            return
        self._load.waits.setdefault(request.kind, []).append(time.perf_counter() - self._began)
        self._load.statuses[f"{request.kind} {response.status}"] += 1
        following = request.then(response) if request.then else None
        self._ask(following or next(self._requests, None))

    def _ask(self, request: Request | None) -> None:
        if request is None:
            self._end(None)
            return
        self._request, self._response = request, Response()
        self._parser = httptools.HttpResponseParser(self)
        self._began = time.perf_counter()
        self._transport.write(self._server.encoded(request))

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error) if error else self.done.set_result(None)
        self._transport.close()


class Server:
    """A FHIR server to ask: its base URL (`http://host:port/fhir`), and the headers that every request has."""

    def __init__(self, base: str, headers: dict[str, str] | None = None) -> None:
        address = urllib.parse.urlsplit(base)
        self.base = base.rstrip("/")
        self._host, self._port = address.hostname or "127.0.0.1", address.port or 80
        self._prefix = address.path.rstrip("/")
        given = {
            "host": address.netloc,
            "accept": "application/fhir+json",
            "accept-encoding": "gzip",
            **(headers or {}),
        }
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in given.items())

    def encoded(self, request: Request) -> bytes:
        """Return a request as it goes over the wire."""
        given = {"content-type": "application/fhir+json", **request.headers} if request.body else request.headers
        more = "".join(f"{name}: {value}\r\n" for name, value in given.items())
        if request.body:
            more += f"content-length: {len(request.body)}\r\n"
        elif request.method in {"POST", "PUT"}:
            more += "content-length: 0\r\n"
        slash = "/" if request.path else ""
        head = f"{request.method} {self._prefix}{slash}{request.path} HTTP/1.1\r\n{self._headers}{more}\r\n"
        return head.encode() + request.body

    async def run(self, requests: Iterator[Request], *, connections: int, seconds: float = SECONDS_MAX) -> Load:
        """Ask what `requests` gives until it or the time ends; sixteen connections are sixteen questions under way."""
        loop, load, began = asyncio.get_running_loop(), Load(), time.perf_counter()

        def timed() -> Iterator[Request]:
            for request in requests:
                if time.perf_counter() - began > seconds:
                    return
                yield request

        shared = timed()
        made = [
            (await loop.create_connection(lambda: _Connection(loop, self, shared, load), self._host, self._port))[1]
            for _ in range(connections)
        ]
        await asyncio.gather(*(one.done for one in made))
        load.seconds = time.perf_counter() - began
        return load

    async def one(self, request: Request) -> Response:
        """Ask once."""
        answers: list[Response] = []

        def keep(answer: Response) -> None:
            answers.append(answer)

        await self.run(
            iter([Request(request.method, request.path, request.body, request.headers, "", keep)]), connections=1
        )
        return answers[0]
