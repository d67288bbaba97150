"""Parts for a command that works beside a running gateway, or without one: same settings, no doors, quiet."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from gateway.app import ground
from gateway.app import parts as root
from gateway.observe import events
from gateway.settings import Settings


@contextlib.asynccontextmanager
async def beside(settings: Settings) -> AsyncIterator[root.Parts]:
    """Give parts on the gateway's own database and backbone; starts the embedded database when nobody runs it."""
    async with ground.database(settings, attach=True) as url, root.parts(settings, url, events.silent) as parts:
        yield parts
