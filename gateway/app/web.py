"""One HTTP server a process: health pages always, the ingest door and the FHIR API as the roles say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.routing import Router

from gateway.app import doors
from gateway.app.parts import Parts
from gateway.errors import Misconfigured
from gateway.identity.local import LocalIssuer
from gateway.observe import metrics
from gateway.operate.health import Health
from gateway.receive.intake import Intake
from gateway.receive.receipts import Receipts
from gateway.serve.api import ROOT, FhirApi

BACKLOG = 1024
GRACE_SECONDS = 20


@dataclass(slots=True)
class Served:
    """The running server: its address, and the intake that the other doors share."""

    address: str
    intake: Intake


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def application(parts: Parts, roles: frozenset[str], intake: Intake, receipts: Receipts) -> tuple[Any, Health]:
    """Return the ASGI application of these roles, and its health pages."""
    health = Health({"database": parts.store.ready, "backbone": parts.backbone.ready}, metrics.exposition)
    routes: list[Any] = list(health.routes())
    if "receive" in roles:
        routes += doors.http_door(parts, intake, receipts).routes()
    rest = Router(routes=routes, redirect_slashes=False)
    if "serve" not in roles:
        return rest, health
    settings = parts.settings
    fhir = FhirApi(
        parts.store,
        identity=LocalIssuer.open(settings, parts.clock).verifier(),
        address=settings.public_url or f"http://{settings.http}",
        secret=parts.ids.derive("pages"),
        ids=parts.ids,
        body_bytes_max=settings.body_bytes_max,
        tell=parts.tell,
        clock=parts.clock,
    )

    async def both(scope: Any, receive: Any, send: Any) -> None:
        below = scope["type"] == "http" and (scope["path"] == ROOT or scope["path"].startswith(ROOT + "/"))
        await (fhir if below else rest)(scope, receive, send)

    return both, health


@contextlib.asynccontextmanager
async def serving(parts: Parts, roles: frozenset[str]) -> AsyncIterator[Served]:
    """Serve HTTP inside the block. Raises Misconfigured when the address cannot be had."""
    receipts = Receipts(parts.ids.derive("receipts"))
    intake = doors.intake_of(parts, receipts)
    app, health = application(parts, roles, intake, receipts)
    listening = _listen(parts.settings.http)
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            ws="none",
            http="httptools",
            backlog=BACKLOG,
            timeout_keep_alive=75,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn announces its start in no other way
            await asyncio.sleep(0.01)
        host, port = listening.getsockname()[:2]
        yield Served(f"{host}:{port}", intake)
    finally:
        health.draining = True
        server.should_exit = True
        await task
        listening.close()


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # so that asyncio knows it for TCP_NODELAY
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError) as error:
        listening.close()
        raise Misconfigured(f"SUNDBRO_HTTP: cannot listen on {address}: {error}") from None
    listening.set_inheritable(False)
    return listening
