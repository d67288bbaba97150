"""`sundbro up`: the database, then the roles on it (`roles`), and back in the other order. A second Ctrl-C does not wait.

While the database starts, what the roles need is imported: that takes as long.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import uvloop

from gateway.app import garbage, ground, ports, tls
from gateway.errors import Misconfigured
from gateway.observe import metrics
from gateway.settings import Settings
from gateway.store import folder

if TYPE_CHECKING:
    from gateway.app.roles import Running


@contextlib.asynccontextmanager
async def gateway(settings: Settings) -> AsyncIterator[Running]:
    """Run every role of these settings inside the block."""
    refuse_unsafe(settings)
    tls.of_https(settings)
    _prepare(settings)
    refuse_taken(settings)
    tell, traced = ground.tell_of(settings, "gateway", metrics.Metrics())
    async with contextlib.AsyncExitStack() as stack:
        if traced:
            stack.callback(traced.stop)
        imports = asyncio.create_task(asyncio.to_thread(_import_the_rest), name="imports")
        url = await stack.enter_async_context(ground.database(settings, tell=tell))
        await imports
        from gateway.app import roles  # noqa: PLC0415  it is there

        running = await stack.enter_async_context(roles.working(settings, url, tell))
        garbage.collect_rarely()
        yield running


def _import_the_rest() -> None:
    """Import what takes its time beside the event loop, while a database starts."""
    for name in ("gateway.app.roles", "gateway.serve.framework"):
        importlib.import_module(name)


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
