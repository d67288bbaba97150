"""`sundbro up`: parts → roles, in the order in which they can work, and back in the other order.

Going down: the doors close first (and answer what they took), then translators and publishers finish what they hold, then
store and backbone, then the embedded database. A second Ctrl-C does not wait.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import uvloop

from gateway.app import auditing, doors, garbage, ports, processes, tls, web, workers
from gateway.app import parts as root
from gateway.app.bugs import where
from gateway.app.servers import servers_of
from gateway.errors import Misconfigured, Unavailable
from gateway.observe import events, metrics
from gateway.operate.reconcile import reconcile
from gateway.publish.order import OrderPublisher
from gateway.publish.publisher import Publisher
from gateway.settings import Settings
from gateway.store import folder

LAG_SECONDS = 2.0
EXPIRE_SECONDS = 600.0
CRASH_PAUSE_SECONDS = 1.0
READY_SECONDS_MAX = 20.0
HTTP_ROLES = frozenset({"receive", "serve"})


@dataclass(slots=True)
class Running:
    """A gateway that runs: its parts, and the addresses at which it listens."""

    parts: root.Parts
    http: str
    https: str
    mllp: str


async def keep(role: str, work: Callable[[], Awaitable[None]], stop: asyncio.Event, tell: events.Tell) -> None:
    """Run a role until `stop`; start it again when it crashes, loudly: where, never with what data."""
    tell(events.RoleStarted(role))
    while not stop.is_set():
        try:
            await work()
        except asyncio.CancelledError:
            raise
        except Exception as bug:  # noqa: BLE001  the third fate: told, and started again
            tell(events.RoleCrashed(role, where(bug)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), CRASH_PAUSE_SECONDS)
    tell(events.RoleStopped(role))


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Running]:
    """Run every role of these settings inside the block."""
    refuse_unsafe(settings)
    tls.of_https(settings)
    _prepare(settings)
    refuse_taken(settings)
    tell, traced = root.tell_of(settings, "gateway", metrics.Metrics())
    roles = settings.role_names()
    async with contextlib.AsyncExitStack() as stack:
        if traced:
            stack.callback(traced.stop)
        imports = asyncio.create_task(web.prepare(), name="imports")
        url = await stack.enter_async_context(root.database(settings, tell=tell))
        await imports
        parts = await stack.enter_async_context(root.parts(settings, url, tell))
        family = _Family(parts, url, stack)
        await family.behind(roles)
        listening = await family.listening() if roles & HTTP_ROLES else web.opened(settings.http, settings.https)
        served = await stack.enter_async_context(web.serving(parts, roles, listening))
        mllp = await stack.enter_async_context(doors.opened(parts, served.intake)) if "receive" in roles else ""
        await family.ready()
        garbage.collect_rarely()
        yield Running(parts, served.address, served.secure_address, mllp)


@dataclass(slots=True)
class _Family:
    """The roles of a gateway as they are started: within this process, or in processes beside it."""

    parts: root.Parts
    url: str
    stack: contextlib.AsyncExitStack
    waited_for: list[asyncio.Event] = field(default_factory=list)

    async def behind(self, roles: frozenset[str]) -> None:
        """Start what works behind the doors."""
        parts, settings = self.parts, self.parts.settings
        owner = f"gateway-{uuid.uuid4().hex[:8]}"
        if "publish" in roles:
            given: dict[str, Any] = {
                "owner": owner,
                "backbone": parts.backbone,
                "store": parts.store,
                "tell": parts.tell,
            }
            hours = settings.fhir_retention_hours
            publisher = Publisher(partitions=settings.partitions, clock=parts.clock, retention_hours=hours, **given)
            await self._role("publish", publisher.run)
            order = OrderPublisher(raw_retention_hours=settings.raw_retention_hours, **given)
            await self._role("publish-order", order.run)
        if "translate" in roles:
            translators = workers.translators_of(settings)
            for number in range(1, translators + 1):
                await self._beside(processes.Program("gateway.app.workers", f"translate-{number}"))
            if not translators:
                await self._role("translate", functools.partial(workers.translate, parts, owner))
            await self._role("lag", functools.partial(_measure_lag, parts))
        if roles & HTTP_ROLES:
            await self._role("audit", functools.partial(auditing.keep, parts))
            if settings.minlog_url:
                await self._role("minlog", functools.partial(auditing.register, parts))
        await self._role("expire", functools.partial(_expire, parts))

    async def listening(self) -> web.Listening:
        """Return the sockets to serve HTTP on; start the other processes that serve at their addresses."""
        listening = web.opened(self.parts.settings.http, self.parts.settings.https)
        servers = servers_of(self.parts.settings)
        if servers > 1:  # the addresses are ours alone to give: now share them with our own processes
            addresses = listening.addresses()
            listening.close()
            listening = web.opened(*addresses, shared=True)
            for number in range(2, servers + 1):
                await self._beside(processes.Program("gateway.app.servers", f"serve-{number}", addresses))
        return listening

    async def ready(self) -> None:
        """Return when the processes beside this one work; one that does not come up is told and started again."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in self.waited_for)), READY_SECONDS_MAX)

    async def _beside(self, program: processes.Program) -> None:
        up = asyncio.Event()
        self.waited_for.append(up)
        parts = self.parts
        work = functools.partial(processes.supervise, program, parts.settings, self.url, parts.tell, up)
        await self._role(program.name, work)

    async def _role(self, name: str, work: Callable[[asyncio.Event], Awaitable[None]]) -> None:
        await self.stack.enter_async_context(_role(name, work, self.parts.tell))


def _prepare(settings: Settings) -> None:
    """Make the folder of this run. Raises Misconfigured where it cannot be made, or another gateway has it."""
    held = folder.Lock(settings.data)
    try:
        settings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not settings.database_url:
            held.take()  # let go at once: the database takes it again. Before anything of another gateway is emptied.
        # Gateways of several machines may share a data folder (keys); no two share a machine's name and an address.
        own = f"{os.uname().nodename}-{settings.http.replace(':', '-')}"
        metrics.prepare(settings.data / "run" / own / "metrics", fresh=True)
    except OSError as error:
        raise Misconfigured(f"the data folder {settings.data} cannot be used: {error.strerror}") from None
    finally:
        held.release()


@contextlib.asynccontextmanager
async def _role(name: str, work: Callable[[asyncio.Event], Awaitable[None]], tell: events.Tell) -> AsyncIterator[None]:
    stop = asyncio.Event()
    task = asyncio.create_task(keep(name, lambda: work(stop), stop, tell), name=name)
    try:
        yield
    finally:
        stop.set()
        await task


async def _measure_lag(parts: root.Parts, stop: asyncio.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(Unavailable):
            for one in await reconcile(parts.topics, store=parts.store, backbone=parts.backbone, clock=parts.clock):
                parts.tell(events.LagMeasured(one.feed, one.waiting, one.lag_seconds))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LAG_SECONDS)


async def _expire(parts: root.Parts, stop: asyncio.Event) -> None:
    """Forget what retention says (the embedded log; Kafka does it by itself), and grants that have expired."""
    while not stop.is_set():
        with contextlib.suppress(Unavailable):
            await parts.backbone.expire(parts.clock.now())
            await parts.grants.sweep(parts.clock.now())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EXPIRE_SECONDS)


def refuse_unsafe(settings: Settings) -> None:
    """Refuse values that are for development only when the settings say production. Raises Misconfigured."""
    if settings.environment != "production":
        return
    unsafe = []
    if settings.mllp and settings.mllp.rpartition(":")[0] not in {"127.0.0.1", "::1", "localhost"}:
        unsafe.append("SUNDBRO_MLLP listens beyond loopback without TLS: use SUNDBRO_MLLP_TLS")
    if "serve" in settings.role_names() and not settings.public_url.startswith("https://"):
        unsafe.append(
            "SUNDBRO_PUBLIC_URL is not https://…: it is the issuer of tokens, and they must not travel in the open"
        )
    if settings.kafka and settings.kafka_security == "PLAINTEXT":
        unsafe.append("SUNDBRO_KAFKA_SECURITY is PLAINTEXT")
    if settings.kafka and settings.kafka_replication < 2:  # noqa: PLR2004
        unsafe.append("SUNDBRO_KAFKA_REPLICATION is 1: the loss of one broker loses messages")
    if not (settings.audit_witness_file or settings.audit_witness_url):
        unsafe.append(
            "neither SUNDBRO_AUDIT_WITNESS_FILE nor SUNDBRO_AUDIT_WITNESS_URL is given: the audit has no witness"
        )
    if unsafe:
        raise Misconfigured("not in production: " + "; ".join(unsafe))


def refuse_taken(settings: Settings) -> None:
    """Refuse an address that another program has, before anything is started. Raises Misconfigured.

    The doors open last and look again: this only tells soon what they would tell after some seconds.
    """
    roles = settings.role_names()
    wanted = {"SUNDBRO_HTTP": settings.http, "SUNDBRO_HTTPS": settings.https}
    if "receive" in roles:
        wanted |= {"SUNDBRO_MLLP": settings.mllp, "SUNDBRO_MLLP_TLS": settings.mllp_tls}
    for name, address in wanted.items():
        if address and not ports.free(address):
            raise Misconfigured(f"{name}: cannot listen on {address}: another program has it")


def up(settings: Settings) -> int:
    """Run until told to stop. Returns the exit status."""
    return uvloop.run(_up(settings))


async def _up(settings: Settings) -> int:
    stop = stopping()
    started = time.perf_counter()
    async with gateway(settings) as running:
        secure = f" and https://{running.https}/fhir" if running.https else ""
        sys.stderr.write(
            f"sundbro is up after {time.perf_counter() - started:.1f} s: FHIR http://{running.http}/fhir{secure}, ingest http://{running.http}/ingest/"
            f"{{{','.join(running.parts.stations)}}}, MLLP {running.mllp or 'closed'}\n"
        )
        await stop.wait()
    return 0


def stopping() -> asyncio.Event:
    """Return an event that Ctrl-C and SIGTERM set; the second signal ends the process at once."""
    stop = asyncio.Event()

    def told() -> None:
        if stop.is_set():
            os._exit(130)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told)
    return stop
