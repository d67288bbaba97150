"""The MLLP door: HL7 v2 over TCP, plain or TLS. Addresses, certificates, start and stop.

What happens on a connection is in `mllp_connection`, what is answered in `mllp_answers`, and what MSH decides in
`mllp_rules`. MLLP has no authentication of its own: beyond loopback use TLS with client certificates (IHE ATNA).
"""

from __future__ import annotations

import asyncio
import functools
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from gateway.errors import Misconfigured
from gateway.observe import events
from gateway.receive.inflight import Inflight
from gateway.receive.intake import Intake
from gateway.receive.mllp_answers import DOOR, Answers
from gateway.receive.mllp_connection import READ_BYTES, Connection, Limits, Outcome, Service
from gateway.receive.mllp_rules import Routes

_HANDSHAKE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on. `feed` binds it to one feed, whoever sends; '' lets the feed files decide."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    feed: str = ""


class MllpDoor:
    """Listens on its addresses from `start` to `stop`."""

    def __init__(
        self, intake: Intake, *, listeners: Sequence[Listener], outcome: Outcome, tell: events.Tell, limits: Limits
    ) -> None:
        self._listeners = listeners
        self._routes = {
            listener.feed: Routes([intake.feed(listener.feed, DOOR)] if listener.feed else intake.feeds(DOOR))
            for listener in listeners
        }
        self._service = Service(
            Answers(intake), intake, Inflight(sys.maxsize, limits.halves_bytes_max), outcome, tell, limits
        )
        self._servers: list[asyncio.Server] = []
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self.addresses: list[tuple[str, int]] = []
        """Where it listens, one for each listener (port 0 became a real one)."""

    async def start(self) -> None:
        """Open the sockets. Raises Misconfigured when an address cannot be had."""
        for listener in self._listeners:
            try:
                server = await asyncio.start_server(
                    functools.partial(self._open, listener),
                    listener.host,
                    listener.port,
                    limit=READ_BYTES,
                    ssl=listener.tls,
                    ssl_handshake_timeout=_HANDSHAKE_SECONDS if listener.tls else None,
                )
            except OSError as error:
                await self.stop()
                raise Misconfigured(
                    f"MLLP cannot listen on {listener.host}:{listener.port}: {error.strerror}"
                ) from None
            self._servers.append(server)
            host, port = server.sockets[0].getsockname()[:2]
            self.addresses.append((host, port))

    async def stop(self) -> None:
        """Take no more, answer what was taken, close. Bounded by `stop_seconds`; safe to call twice."""
        for server in self._servers:
            server.close()
        self._servers.clear()
        for connection in self._connections:
            connection.stop()
        if tasks := list(self._connections.values()):
            _, late = await asyncio.wait(tasks, timeout=self._service.limits.stop_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _open(self, listener: Listener, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) >= self._service.limits.connections_max:
            self._service.tell(events.ConnectionOpened(DOOR, listener.feed))
            self._service.tell(events.ConnectionClosed(DOOR, listener.feed, "full"))
            writer.transport.abort()
            return
        connection = Connection(self._service, self._routes[listener.feed], reader, writer)
        task = asyncio.get_running_loop().create_task(connection.run())
        self._connections[connection] = task
        task.add_done_callback(lambda _: self._connections.pop(connection, None))
