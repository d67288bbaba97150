"""Translator processes. One process is one event loop and one core's work; `processes` keeps them running."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
import uuid
from typing import Any

import uvloop

from gateway.app import garbage, processes
from gateway.app import parts as root
from gateway.errors import Unavailable
from gateway.observe import events
from gateway.settings import Settings
from gateway.store.order import retention_hours
from gateway.translate.repeat import Repeater
from gateway.translate.worker import Translator

RETRY_SECONDS = 0.5


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


async def _translate(name: str, settings: Settings, tell: events.Tell, stop: asyncio.Event) -> None:
    """Translate until `stop`; wait while database or backbone are away."""
    while not stop.is_set():
        try:
            async with root.parts(settings, settings.database_url, tell) as parts:
                garbage.collect_rarely()
                processes.say_ready()
                await translate(parts, f"{name}-{uuid.uuid4().hex[:8]}", stop)
        except Unavailable as error:
            tell(events.PartUnavailable("translate", type(error).__name__, RETRY_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_SECONDS)


if __name__ == "__main__":
    sys.exit(uvloop.run(processes.child(sys.argv[1], functools.partial(_translate, sys.argv[1]))))
