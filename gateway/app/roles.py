"""The roles of a gateway, in the order in which they can work, and back in the other order.

Going down: the doors close first (and answer what they took), then translators and publishers finish what they hold, then
store and backbone.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from gateway.app import auditing, doors, processes, web, workers
from gateway.app import parts as root
from gateway.app.bugs import where
from gateway.app.servers import servers_of
from gateway.errors import Unavailable
from gateway.observe import events
from gateway.operate.reconcile import reconcile
from gateway.publish.order import OrderPublisher
from gateway.publish.publisher import Publisher
from gateway.settings import Settings

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


@contextlib.asynccontextmanager
async def working(settings: Settings, database_url: str, tell: events.Tell) -> AsyncIterator[Running]:
    """Run every role of these settings inside the block, on a database that is there."""
    roles = settings.role_names()
    async with contextlib.AsyncExitStack() as stack:
        parts = await stack.enter_async_context(root.parts(settings, database_url, tell))
        family = _Family(parts, database_url, stack)
        await family.behind(roles)
        listening = await family.listening() if roles & HTTP_ROLES else web.opened(settings.http, settings.https)
        served = await stack.enter_async_context(web.serving(parts, roles, listening))
        mllp = await stack.enter_async_context(doors.opened(parts, served.intake)) if "receive" in roles else ""
        await family.ready()
        yield Running(parts, served.address, served.secure_address, mllp)


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
