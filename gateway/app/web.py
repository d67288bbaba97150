"""One HTTP server a process: health pages always, the ingest door and the FHIR API as the roles say."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from gateway.app import doors
from gateway.app.one_write import OneWriteProtocol
from gateway.app.parts import Parts
from gateway.errors import Misconfigured
from gateway.formats.packed import Limits
from gateway.identity.local import LocalIssuer
from gateway.observe import metrics
from gateway.operate.health import Health
from gateway.receive.intake import Intake
from gateway.receive.receipts import Receipts
from gateway.serve.api import FhirApi

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
    from gateway.serve import framework  # noqa: PLC0415  FastAPI takes half a second: `prepare` has begun with it

    health = Health({"database": parts.store.ready, "backbone": parts.backbone.ready}, metrics.exposition)
    routes: list[BaseRoute] = list(health.routes())
    if "receive" in roles:
        routes += doors.http_door(parts, intake, receipts).routes()
    fhir = fhir_api(parts) if "serve" in roles else None
    return framework.application(routes, fhir), health


def fhir_api(parts: Parts) -> FhirApi:
    """Return the FHIR API over these parts."""
    settings = parts.settings
    return FhirApi(
        parts.store,
        identity=LocalIssuer.open(settings, parts.clock).verifier(),
        address=settings.public_url or f"http://{settings.http}",
        secret=parts.ids.derive("pages"),
        tell=parts.tell,
        clock=parts.clock,
        limits=Limits.of(settings),
    )


async def prepare() -> None:
    """Import what takes its time beside the event loop, while a database starts."""
    await asyncio.to_thread(importlib.import_module, "gateway.serve.framework")


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
            http=OneWriteProtocol,
            proxy_headers=False,
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
