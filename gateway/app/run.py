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
from dataclasses import dataclass

import uvloop

from gateway.app import doors, garbage, ports, processes, web, workers
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
    _prepare(settings)
    refuse_taken(settings)
    tell, traced = root.tell_of(settings, "gateway", metrics.Metrics())
    roles = settings.role_names()
    owner = f"gateway-{uuid.uuid4().hex[:8]}"
    ready: list[asyncio.Event] = []
    async with contextlib.AsyncExitStack() as stack:
        if traced:
            stack.callback(traced.stop)
        imports = asyncio.create_task(web.prepare(), name="imports")
        url = await stack.enter_async_context(root.database(settings, tell=tell))
        await imports
        parts = await stack.enter_async_context(root.parts(settings, url, tell))
        if "publish" in roles:
            publisher = Publisher(
                owner=owner,
                partitions=settings.partitions,
                backbone=parts.backbone,
                store=parts.store,
                tell=tell,
                clock=parts.clock,
                retention_hours=settings.fhir_retention_hours,
            )
            await stack.enter_async_context(_role("publish", publisher.run, tell))
            order = OrderPublisher(
                owner=owner,
                backbone=parts.backbone,
                store=parts.store,
                tell=tell,
                raw_retention_hours=settings.raw_retention_hours,
            )
            await stack.enter_async_context(_role("publish-order", order.run, tell))
        if "translate" in roles:
            for number in range(workers.translators_of(settings)):
                name = f"translate-{number + 1}"
                ready.append(asyncio.Event())
                program = processes.Program("gateway.app.workers", name)
                work = functools.partial(processes.supervise, program, settings, url, tell, ready[-1])
                await stack.enter_async_context(_role(name, work, tell))
            if not workers.translators_of(settings):
                here = functools.partial(workers.translate, parts, owner)
                await stack.enter_async_context(_role("translate", here, tell))
            await stack.enter_async_context(_role("lag", lambda stop: _measure_lag(parts, stop), tell))
        await stack.enter_async_context(_role("expire", lambda stop: _expire(parts, stop), tell))
        listening, servers = web.listen(settings.http), servers_of(settings) if roles & HTTP_ROLES else 1
        if servers > 1:  # the address is ours alone to give: now share it with our own processes
            address = web.address_of(listening)
            listening.close()
            listening = web.listen(address, shared=True)
            for number in range(2, servers + 1):
                ready.append(asyncio.Event())
                program = processes.Program("gateway.app.servers", f"serve-{number}", (address,))
                work = functools.partial(processes.supervise, program, settings, url, tell, ready[-1])
                await stack.enter_async_context(_role(program.name, work, tell))
        served = await stack.enter_async_context(web.serving(parts, roles, listening))
        mllp = await stack.enter_async_context(doors.opened(parts, served.intake)) if "receive" in roles else ""
        with contextlib.suppress(TimeoutError):  # a translator that does not come up is told and started again
            await asyncio.wait_for(asyncio.gather(*(event.wait() for event in ready)), READY_SECONDS_MAX)
        garbage.collect_rarely()
        yield Running(parts, served.address, mllp)


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
    """Forget what retention says (the embedded log; Kafka does it by itself)."""
    while not stop.is_set():
        with contextlib.suppress(Unavailable):
            await parts.backbone.expire(parts.clock.now())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), EXPIRE_SECONDS)


def refuse_unsafe(settings: Settings) -> None:
    """Refuse values that are for development only when the settings say production. Raises Misconfigured."""
    if settings.environment != "production":
        return
    unsafe = []
    if settings.mllp and settings.mllp.rpartition(":")[0] not in {"127.0.0.1", "::1", "localhost"}:
        unsafe.append("SUNDBRO_MLLP listens beyond loopback without TLS: use SUNDBRO_MLLP_TLS")
    if settings.kafka and settings.kafka_security == "PLAINTEXT":
        unsafe.append("SUNDBRO_KAFKA_SECURITY is PLAINTEXT")
    if settings.kafka and settings.kafka_replication < 2:  # noqa: PLR2004
        unsafe.append("SUNDBRO_KAFKA_REPLICATION is 1: the loss of one broker loses messages")
    if unsafe:
        raise Misconfigured("not in production: " + "; ".join(unsafe))


def refuse_taken(settings: Settings) -> None:
    """Refuse an address that another program has, before anything is started. Raises Misconfigured.

    The doors open last and look again: this only tells soon what they would tell after some seconds.
    """
    roles = settings.role_names()
    wanted = {"SUNDBRO_HTTP": settings.http}
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
        sys.stderr.write(
            f"sundbro is up after {time.perf_counter() - started:.1f} s: FHIR http://{running.http}/fhir, ingest http://{running.http}/ingest/"
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
