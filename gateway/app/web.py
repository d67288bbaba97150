"""HTTP of a process, plain and over TLS: health pages always, the ingest door and the FHIR API as the roles say."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn
from starlette.routing import BaseRoute

from gateway.app import auditing, doors, logins, messages, names, people, tls
from gateway.app.oauth import NobodyLoggedIn, oauth_of
from gateway.app.one_write import OneWriteProtocol
from gateway.app.parts import Parts
from gateway.audit.ledger import Ledger
from gateway.errors import Misconfigured
from gateway.formats.packed import Limits
from gateway.identity.oauth import metadata
from gateway.identity.oauth.acceptance import Acceptance
from gateway.identity.oauth.cors import Cors
from gateway.identity.persons import PersonIndex
from gateway.identity.same_person import SamePerson
from gateway.observe import metrics
from gateway.operate.health import Health
from gateway.receive.intake import Intake
from gateway.receive.receipts import Receipts
from gateway.serve import validating
from gateway.serve.api import ROOT, FhirApi
from gateway.serve.audit_events import AuditEvents
from gateway.serve.auditing import Auditor
from gateway.serve.operations import operations, who_has_seen
from gateway.serve.operations.stored_terminology import StoredTerminology
from gateway.serve.operations.who_has_seen import WhoHasSeenHandler
from gateway.serve.paging import Pages
from gateway.serve.permitted import PermittedStore
from gateway.terminology import tables
from gateway.terminology.shelf import Shelf
from gateway.translate.registry import MAPPINGS

BACKLOG = 1024
GRACE_SECONDS = 20
MESSAGE_FEED = "municipal"
"""The feed that $process-message hands messages to."""


@dataclass(slots=True)
class Listening:
    """The sockets of a process: plain, and the one over TLS where there is such a door."""

    plain: socket.socket
    secure: socket.socket | None = None

    def addresses(self) -> tuple[str, str]:
        """Return host:port of both, '' for a door that is closed."""
        return address_of(self.plain), address_of(self.secure) if self.secure else ""

    def close(self) -> None:
        """Close both."""
        self.plain.close()
        if self.secure:
            self.secure.close()


@dataclass(slots=True)
class Served:
    """The running server: its addresses (plain, over TLS), and the intake that the other doors share."""

    address: str
    secure_address: str
    intake: Intake


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the process decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def application(
    parts: Parts,
    roles: frozenset[str],
    intake: Intake,
    receipts: Receipts,
    audit: Ledger,
    signed_in: logins.Logins | None = None,
) -> tuple[Any, Health]:
    """Return the ASGI application of these roles, and its health pages. `signed_in` is where people log in."""
    from gateway.serve import framework  # noqa: PLC0415  FastAPI takes half a second: `run` has begun with it

    health = Health({"database": parts.store.ready, "backbone": parts.backbone.ready}, metrics.exposition)
    authority = oauth_of(parts, NobodyLoggedIn() if signed_in is None else signed_in.sessions, audit)
    routes: list[BaseRoute] = list(health.routes())
    if "receive" in roles:
        routes += doors.http_door(parts, intake, receipts, authority.acceptance, audit).routes()
    if signed_in is not None:
        routes += signed_in.routes
    if "serve" not in roles:
        return framework.application(routes, None), health
    routes += authority.endpoint.routes()
    fhir = fhir_api(parts, intake if "receive" in roles else None, authority.acceptance, audit)
    return Cors(framework.application(routes, fhir), authority.registry), health


def fhir_api(parts: Parts, intake: Intake | None, acceptance: Acceptance, audit: Ledger) -> FhirApi:
    """Return the FHIR API over these parts; `intake` is what $process-message hands messages to, `audit` writes down who
    was shown what.
    """
    settings, clock = parts.settings, parts.clock
    address, secret = settings.address(), parts.ids.derive("pages")
    base = address + ROOT
    policy = people.policy_of(settings)
    shelf = Shelf(MAPPINGS, tables.load(MAPPINGS))
    rows = operations(
        parts.store,
        shelf=shelf,
        pages=Pages(secret, clock),
        base=base,
        clock=clock,
        deliver=messages.door(intake, parts.store.message, feed=MESSAGE_FEED) if intake else None,
        message_feed=MESSAGE_FEED,
        policy=policy,
    )
    permitted = PermittedStore(parts.store, clock, policy)
    check = validating.ValidateHandler(permitted, MAPPINGS / "profiles", settings.package_files())
    view = AuditEvents(audit.store, Pages(secret, clock), base, clock)
    seen = WhoHasSeenHandler(view, permitted, Pages(secret, clock), names.of(parts.store), base)
    return FhirApi(
        parts.store,
        identity=SamePerson(acceptance, PersonIndex(parts.store), clock),
        security=metadata.security(address),
        address=address,
        secret=secret,
        ids=parts.ids,
        tell=parts.tell,
        clock=clock,
        limits=Limits.of(settings),
        codes=StoredTerminology(permitted, shelf).for_search,
        operations=[*rows, (validating.OPERATION, check), (who_has_seen.OPERATION, seen)],
        views={"AuditEvent": view},
        policy=policy,
        audit=Auditor(audit, secret=parts.ids.derive("audit"), tell=parts.tell),
    )


@contextlib.asynccontextmanager
async def serving(parts: Parts, roles: frozenset[str], listening: Listening) -> AsyncIterator[Served]:
    """Serve HTTP inside the block, on sockets that `opened` gave; closes them in the end."""
    secured = tls.of_https(parts.settings)
    async with auditing.opened(parts) as audit:
        receipts = Receipts(parts.ids.derive("receipts"))
        intake = doors.intake_of(parts, receipts, audit)
        index = PersonIndex(parts.store)
        signed_in = logins.logins_of(parts, auditing.of_identity(audit), index.current) if "serve" in roles else None
        app, health = application(parts, roles, intake, receipts, audit, signed_in)
        try:
            async with contextlib.AsyncExitStack() as stack:
                await stack.enter_async_context(_serving(app, health, listening.plain))
                if listening.secure is not None:
                    await stack.enter_async_context(_serving(app, health, listening.secure, secured))
                yield Served(*listening.addresses(), intake)
        finally:
            if signed_in is not None:
                await signed_in.close()


@contextlib.asynccontextmanager
async def _serving(
    app: Any, health: Health, listening: socket.socket, secured: ssl.SSLContext | None = None
) -> AsyncIterator[None]:
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
            ssl_context_factory=(lambda *_: secured) if secured else None,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listening]), name="http")
    try:
        while not server.started and not task.done():  # noqa: ASYNC110  uvicorn announces its start in no other way
            await asyncio.sleep(0.01)
        yield
    finally:
        health.draining = True
        server.should_exit = True
        await task
        listening.close()


def opened(http: str, https: str, *, shared: bool = False) -> Listening:
    """Return the sockets of a process, `https` '' without the door over TLS. Raises Misconfigured as `listen` does."""
    plain = listen(http, shared=shared)
    try:
        return Listening(plain, listen(https, shared=shared, name="SUNDBRO_HTTPS") if https else None)
    except Misconfigured:
        plain.close()
        raise


def listen(address: str, *, shared: bool = False, name: str = "SUNDBRO_HTTP") -> socket.socket:
    """Return a socket bound to host:port; `shared` lets other processes of this gateway bind the same address.

    Raises Misconfigured when the address cannot be had, or somebody has it who does not share.
    """
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(
        family, socket.SOCK_STREAM, socket.IPPROTO_TCP
    )  # so that asyncio knows it for TCP_NODELAY
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if shared:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        listening.bind((host.strip("[]"), int(port)))
    except (OSError, ValueError) as error:
        listening.close()
        raise Misconfigured(f"{name}: cannot listen on {address}: {error}") from None
    listening.set_inheritable(False)
    return listening


def address_of(listening: socket.socket) -> str:
    """Return host:port of a bound socket."""
    host, port = listening.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
