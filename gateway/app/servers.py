"""Server processes: the HTTP doors of this gateway once more, each with a socket of its own at the same address.

The kernel deals new connections out among the sockets of an address (SO_REUSEPORT, Linux); a process opens its socket
when it can answer, and none is left behind when it ends. All processes use one database, so that they behave as one
server: what one answered 201 for, the next request finds, whoever takes it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import sys

import uvloop

from gateway.app import garbage, processes, web
from gateway.app import parts as root
from gateway.errors import Unavailable
from gateway.observe import events
from gateway.settings import Settings

RETRY_SECONDS = 0.5
CORES_EACH = 2
"""One server process for so many cores: the others are for translators, publisher and database."""


def servers_of(settings: Settings) -> int:
    """Return how many HTTP server processes to run, this one included."""
    if not hasattr(socket, "SO_REUSEPORT"):
        return 1
    return settings.servers or max(1, len(os.sched_getaffinity(0)) // CORES_EACH)


async def _serve(http: str, https: str, settings: Settings, tell: events.Tell, stop: asyncio.Event) -> None:
    """Serve until `stop`; while database or backbone are away, leave new connections to the others."""
    while not stop.is_set():
        try:
            async with root.parts(settings, settings.database_url, tell) as parts:
                garbage.collect_rarely()
                async with web.serving(parts, settings.role_names(), web.opened(http, https, shared=True)):
                    processes.say_ready()
                    await stop.wait()
        except Unavailable as error:
            tell(events.PartUnavailable("serve", type(error).__name__, RETRY_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_SECONDS)


if __name__ == "__main__":
    sys.exit(uvloop.run(processes.child(sys.argv[1], functools.partial(_serve, sys.argv[2], sys.argv[3]))))
