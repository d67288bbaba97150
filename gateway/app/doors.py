"""The doors of one process, put together from settings and parts."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Final

from gateway.access import Why
from gateway.app import tls
from gateway.app.parts import Parts
from gateway.audit import Event
from gateway.audit.ledger import Ledger
from gateway.audit.record import without_numbers
from gateway.errors import SundbroError
from gateway.identity.oauth.acceptance import Acceptance
from gateway.receive import http_body, mllp, outcomes
from gateway.receive.files import FilesDoor
from gateway.receive.http import HttpDoor
from gateway.receive.intake import Inlet, Intake, Limits
from gateway.receive.mllp_connection import Limits as MllpLimits
from gateway.receive.receipts import Receipts
from gateway.settings import Settings
from gateway.store.port import MessageRow

RECEIPTS_NOTED: Final = 20


def intake_of(parts: Parts, receipts: Receipts, audit: Ledger) -> Intake:
    """Return what all doors of this process share; `audit` has on record what was posted, before it is acknowledged."""

    async def posted(feed: str, door: str, sender: str, receipts: Sequence[str]) -> None:
        await audit.write(
            {
                "event": Event.POSTED,
                "status": 202,
                "door": door,
                "type": feed,
                "client": without_numbers(sender),
                "count": len(receipts),
                "more": {"receipts": receipts[:RECEIPTS_NOTED]},
            }
        )

    return Intake(
        [Inlet(station.feed, station.adapter.split) for station in parts.stations.values()],
        backbone=parts.backbone,
        ids=parts.ids,
        receipts=receipts,
        clock=parts.clock,
        tell=parts.tell,
        limits=Limits.of(parts.settings),
        posted=posted,
    )


def http_door(parts: Parts, intake: Intake, receipts: Receipts, acceptance: Acceptance, audit: Ledger) -> HttpDoor:
    """Return the ingest routes; `audit` has on record who was refused."""

    async def refused(feed: str, client: str, source: str, error: SundbroError) -> None:
        given = {"event": Event.POSTED, "status": error.status, "door": "http", "type": feed, "client": client}
        why = getattr(error, "why", Why.NO_SCOPE)
        await audit.write(given | {"why": why.value, "source": source})

    return HttpDoor(
        intake,
        receipts=receipts,
        ask=parts.store.message,
        authorise=acceptance.of_request,
        tell=parts.tell,
        limits=http_body.Limits.of(parts.settings),
        refused=refused,
    )


def listeners(settings: Settings) -> list[mllp.Listener]:
    """Return where MLLP listens. Raises Misconfigured when TLS is asked for without certificate and key."""
    found = []
    for address, secure in ((settings.mllp, False), (settings.mllp_tls, True)):
        if address:
            host, _, port = address.rpartition(":")
            found.append(mllp.Listener(host, int(port), tls.of_mllp(settings) if secure else None))
    return found


@contextlib.asynccontextmanager
async def opened(parts: Parts, intake: Intake) -> AsyncIterator[str]:
    """Keep the MLLP door and the watched folder open inside the block; give the first MLLP address, '' when closed."""

    async def outcome(receipt: str, seconds: float) -> MessageRow | None:
        return await outcomes.decided(parts.store.message, receipt, seconds)

    door = mllp.MllpDoor(
        intake,
        listeners=listeners(parts.settings),
        outcome=outcome,
        tell=parts.tell,
        limits=MllpLimits.of(parts.settings),
    )
    await door.start()
    watching: asyncio.Task[None] | None = None
    if parts.settings.drop:
        files = FilesDoor(
            intake, drop=Path(parts.settings.drop), tell=parts.tell, bytes_max=parts.settings.body_bytes_max
        )
        watching = asyncio.create_task(files.run(), name="files")
    try:
        yield ":".join(str(part) for part in door.addresses[0]) if door.addresses else ""
    finally:
        if watching:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
        await door.stop()
