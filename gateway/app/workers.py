"""Translator processes: started, watched and started again. One process is one event loop and one core's work.

A child ends when its standard input does, so that nothing of a killed gateway goes on translating under its name.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import uuid
from typing import Any

import uvloop

from gateway import settings as setting
from gateway.app import garbage
from gateway.app import parts as root
from gateway.app.bugs import where
from gateway.errors import Unavailable
from gateway.observe import events, metrics
from gateway.settings import Settings
from gateway.store.order import retention_hours
from gateway.translate.repeat import Repeater
from gateway.translate.worker import Translator

STOP_SECONDS = 20.0
READY = b"ready\n"
"""What a translator process says on its standard output when its parts have started."""
RESTART_SECONDS_MAX = 10.0
RETRY_SECONDS = 0.5
STEADY_SECONDS = 30.0
"""A child that ran so long was well: its next restart is immediate again."""


def translators_of(settings: Settings) -> int:
    """Return how many translator processes to run; 0 means in this process (there is one core)."""
    if settings.translators:
        return settings.translators
    cores = len(os.sched_getaffinity(0))
    return -(-cores * 2 // 3) if cores > 1 else 0  # of a message's processor time two thirds are translation (measured)


async def translate(parts: root.Parts, owner: str, stop: asyncio.Event) -> None:
    """Translate until `stop`; an empty store is first filled in the order that another one kept."""
    given: dict[str, Any] = {
        "owner": owner,
        "stations": parts.stations,
        "topics": parts.topics,
        "partitions": parts.settings.partitions,
        "backbone": parts.backbone,
        "store": parts.store,
        "tell": parts.tell,
        "clock": parts.clock,
        "batch_max": parts.settings.batch_max,
    }
    await Repeater(retention_hours=retention_hours(parts.settings.raw_retention_hours), **given).run(stop)
    await Translator(**given).run(stop)


async def supervise(
    settings: Settings, database_url: str, name: str, tell: events.Tell, ready: asyncio.Event, stop: asyncio.Event
) -> None:
    """Keep one translator process running until `stop`; then end it and wait for its last commit.

    `ready` is set when the process says that it is about to read.
    """
    pause = 0.0
    environment = {**os.environ, "SUNDBRO_DATABASE_URL": database_url, "SUNDBRO_DATA": str(settings.data)}
    while not stop.is_set():
        started = asyncio.get_running_loop().time()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway.app.workers",
            name,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
        said = asyncio.create_task(_said(child, ready))
        ended = asyncio.create_task(child.wait())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait({ended, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        said.cancel()
        if stop.is_set():
            await _end(child, ended)
            return
        tell(events.RoleCrashed(name, f"exit status {child.returncode}"))
        steady = asyncio.get_running_loop().time() - started > STEADY_SECONDS
        pause = 0.0 if steady else min(max(pause * 2, 0.5), RESTART_SECONDS_MAX)
        try:
            await asyncio.wait_for(stop.wait(), pause)
        except TimeoutError:
            continue


async def _said(child: asyncio.subprocess.Process, ready: asyncio.Event) -> None:
    assert child.stdout is not None
    while line := await child.stdout.readline():
        if line == READY:
            ready.set()


async def _end(child: asyncio.subprocess.Process, ended: asyncio.Task[int]) -> None:
    if child.returncode is None:
        child.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(ended, STOP_SECONDS)
    except TimeoutError:
        child.kill()
        await child.wait()


async def _child(name: str) -> int:
    settings = setting.load(os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the parent, which tells us
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orphaned = asyncio.create_task(reader.read())
    orphaned.add_done_callback(lambda _: stop.set())
    tell, traced = root.tell_of(settings, name, metrics.Metrics())
    status = 0
    try:
        await _translate(settings, name, tell, stop)
    except Exception as bug:  # noqa: BLE001  the third fate: told as every role tells it, and the parent starts another
        tell(events.RoleCrashed(name, where(bug)))
        status = 1
    orphaned.cancel()
    if traced:
        traced.stop()
    return status


async def _translate(settings: Settings, name: str, tell: events.Tell, stop: asyncio.Event) -> None:
    """Translate until `stop`; wait while database or backbone are away."""
    while not stop.is_set():
        try:
            async with root.parts(settings, settings.database_url, tell) as parts:
                garbage.collect_rarely()
                with contextlib.suppress(OSError):  # nobody listens: the gateway is gone, and `stop` is about to be set
                    sys.stdout.buffer.write(READY)
                    sys.stdout.buffer.flush()
                await translate(parts, f"{name}-{uuid.uuid4().hex[:8]}", stop)
        except Unavailable as error:
            tell(events.PartUnavailable("translate", type(error).__name__, RETRY_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_SECONDS)


if __name__ == "__main__":
    sys.exit(uvloop.run(_child(sys.argv[1])))
