"""$process-message through the real door: intake, log, translator and store, and the acknowledgement that comes back."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.app import auditing, messages, workers
from gateway.app import parts as root
from gateway.app.doors import intake_of
from gateway.formats import json
from gateway.observe import events
from gateway.receive.receipts import Receipts
from gateway.settings import Settings
from tests.contracts.operations import Desk
from tests.contracts.stores import Database
from tests.messages import People, notification

MINE = ("ingest/municipal",)


@contextlib.asynccontextmanager
async def through(database: Database, data: Path, *, translate: bool, seconds: float = 15) -> AsyncIterator[Desk]:
    settings = Settings(data=data, partitions=1, database_url=database.url)
    stop = asyncio.Event()
    async with root.parts(settings, database.url, events.silent) as parts, auditing.opened(parts) as audit:
        intake = intake_of(parts, Receipts(parts.ids.derive("receipts")), audit)
        door = messages.door(intake, parts.store.message, feed="municipal", seconds=seconds)
        working = asyncio.create_task(workers.translate(parts, "t", stop)) if translate else None
        try:
            yield Desk(parts.store, deliver=door)  # type: ignore[arg-type]
        finally:
            stop.set()
            if working:
                await working


async def test_a_message_is_answered_with_its_acknowledgement(database: Database, tmp_path: Path) -> None:
    letter = str(uuid.uuid4())
    message = json.loads(notification(People(4000).one(), letter=letter))
    async with through(database, tmp_path, translate=True) as desk:
        status, bundle = await desk.ask("$process-message", body=message, scopes=MINE)
        assert status == 200
        header = bundle["entry"][0]["resource"]
        assert header["response"] == {**header["response"], "identifier": letter, "code": "ok"}
        again, same = await desk.ask("$process-message", body=message, scopes=MINE)
        assert (again, same["entry"][0]["resource"]["response"]) == (200, header["response"])
        broken = {**message, "entry": message["entry"][:1]}
        status, answer = await desk.ask("$process-message", body=broken, scopes=MINE)
        assert (status, answer["resourceType"]) in {(200, "Bundle"), (422, "OperationOutcome")}


async def test_a_message_that_waits_is_promised_and_not_lost(database: Database, tmp_path: Path) -> None:
    message = json.loads(notification(People(4100).one()))
    async with through(database, tmp_path, translate=False, seconds=0.1) as desk:
        status, outcome = await desk.ask("$process-message", body=message, scopes=MINE)
        assert (status, outcome["issue"][0]["severity"]) == (202, "information")


@pytest.mark.parametrize("entry", [[], [{"fullUrl": "urn:uuid:7a1f4c2e-0000-4000-8000-000000000001"}]])
async def test_what_is_no_message_is_refused(database: Database, tmp_path: Path, entry: list[object]) -> None:
    bundle = {"resourceType": "Bundle", "type": "message", **({"entry": entry} if entry else {})}
    async with through(database, tmp_path, translate=False, seconds=0.1) as desk:
        status, outcome = await desk.ask("$process-message", body=bundle, scopes=MINE)
        assert status in {400, 422}
        assert outcome["resourceType"] == "OperationOutcome"
