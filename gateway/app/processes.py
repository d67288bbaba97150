"""Processes beside this one: started, watched and started again; ended with us, whatever ends us.

A child ends when its standard input does, so that nothing of a killed gateway goes on working under its name. Not here:
what a child does (`workers`, `servers`).
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from gateway import settings as setting
from gateway.app import ground
from gateway.app.bugs import where
from gateway.observe import events, metrics
from gateway.settings import Settings

STOP_SECONDS = 20.0
READY = b"ready\n"
"""What a child says on its standard output when its parts have started."""
RESTART_SECONDS_MAX = 10.0
STEADY_SECONDS = 30.0
"""A child that ran so long was well: its next restart is immediate again."""


@dataclass(frozen=True, slots=True)
class Program:
    """What to run: a module of this gateway, the name it is told about by, and its further arguments."""

    module: str
    name: str
    arguments: tuple[str, ...] = ()


async def supervise(
    program: Program,
    settings: Settings,
    database_url: str,
    tell: events.Tell,
    ready: asyncio.Event,
    stop: asyncio.Event,
) -> None:
    """Keep one child running until `stop`; then end it and wait for what it has under way.

    `ready` is set when the process says that it is about to work.
    """
    pause = 0.0
    environment = {**os.environ, "SUNDBRO_DATABASE_URL": database_url, "SUNDBRO_DATA": str(settings.data)}
    while not stop.is_set():
        started = asyncio.get_running_loop().time()
        child = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            program.module,
            program.name,
            *program.arguments,
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
        tell(events.RoleCrashed(program.name, f"exit status {child.returncode}"))
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


async def child(name: str, work: Callable[[Settings, events.Tell, asyncio.Event], Awaitable[None]]) -> int:
    """Do `work` as a child until SIGTERM or the end of standard input; return the exit status."""
    settings = setting.load(os.environ)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_signal_handler(signal.SIGINT, lambda: None)  # Ctrl-C reaches the parent, which tells us
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    orphaned = asyncio.create_task(reader.read())
    orphaned.add_done_callback(lambda _: stop.set())
    tell, traced = ground.tell_of(settings, name, metrics.Metrics())
    status = 0
    try:
        await work(settings, tell, stop)
    except Exception as bug:  # noqa: BLE001  the third fate: told as every role tells it, and the parent starts another
        tell(events.RoleCrashed(name, where(bug)))
        status = 1
    orphaned.cancel()
    if traced:
        traced.stop()
    return status


def say_ready() -> None:
    """Tell the parent that the work has begun."""
    try:
        sys.stdout.buffer.write(READY)
        sys.stdout.buffer.flush()
    except OSError:  # nobody listens: the gateway is gone, and `stop` is about to be set
        pass
