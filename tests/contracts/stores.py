"""What the store's tests share: a real embedded PostgreSQL, stores on schemas of their own, and messages to apply."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg

from gateway.backbone.port import partition_of
from gateway.clock import Clock
from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.model import Mode, Position, Resource
from gateway.search.query import Index, reference, token
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.port import Advance, Batch, MessageWrite, Write
from gateway.store.postgres.store import PostgresStore

PARTITIONS = 4
NOON = dt.datetime(2026, 3, 29, 12, 0, tzinfo=dt.UTC)


class Database:
    """An embedded PostgreSQL whose supervisor runs on a thread of its own, beside the tests' event loops."""

    def __init__(self, data: Path) -> None:
        self.postgres = EmbeddedPostgres(data)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.url = asyncio.run_coroutine_threadsafe(self.postgres.start(), self._loop).result(60)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self.postgres.stop(), self._loop).result(60)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@contextlib.contextmanager
def running_database(data: Path) -> Iterator[Database]:
    database = Database(data)
    try:
        yield database
    finally:
        database.stop()


def partition(key: str) -> int:
    return partition_of(key.encode(), PARTITIONS)


def extract(resource: Resource) -> Index:
    """A small index maker: enough to see that index and content belong together."""
    index = Index()
    if subject := resource.get("subject", {}).get("reference"):
        index.patient = reference("patient", subject)
        index.tokens.append(index.patient)
    for coding in resource.get("code", {}).get("coding", []):
        index.code = token("code", None, coding["code"])
        index.tokens += [token("code", coding.get("system", ""), coding["code"]), index.code]
    if at := resource.get("effectiveDateTime"):
        index.date_low = dt.datetime.fromisoformat(at)
        index.date_high = index.date_low + dt.timedelta(seconds=1)
    if at := resource.get("issued"):
        moment = dt.datetime.fromisoformat(at)
        index.dates.append(("issued", moment, moment))
    index.tokens.append(token("status", None, resource.get("status", "none")))
    return index


@contextlib.asynccontextmanager
async def open_store(
    url: str, *, schema: str = "", clock: Clock | None = None, keep: bool = False, **settings: Any
) -> AsyncIterator[PostgresStore]:
    """A started store on a schema of its own, dropped at the end unless it was given or is to be kept."""
    name = schema or f"t_{secrets.token_hex(4)}"
    store = PostgresStore(
        url, outbox_partition=partition, extract=extract, merge=merge, schema=name, clock=clock, **settings
    )
    await store.start()
    try:
        yield store
    finally:
        await store.stop()
        if not schema and not keep:
            async with raw(url) as connection:
                await connection.execute(f"drop schema {name} cascade")


@contextlib.asynccontextmanager
async def raw(url: str, schema: str = "public") -> AsyncIterator[asyncpg.Connection[Any]]:
    connection = await asyncpg.connect(url, server_settings={"search_path": schema})
    try:
        yield connection
    finally:
        await connection.close()


def observation(name: str, *, value: int = 1, subject: str = "p1", code: str = "8867-4", **more: Any) -> Resource:
    return {
        "resourceType": "Observation",
        "id": name,
        "status": "final",
        "code": {"coding": [{"system": "http://loinc.org", "code": code}]},
        "subject": {"reference": f"Patient/{subject}"},
        "effectiveDateTime": "2026-03-29T01:59:59+01:00",
        "valueQuantity": {"value": value, "unit": "/min"},
        **more,
    }


def write(
    resource: Resource, *, mode: Mode = Mode.PUT, minute: int = 0, lane: str = "", deleted: bool = False
) -> Write:
    body = bodies.prepare(resource)
    return Write(
        type=resource["resourceType"],
        id=resource["id"],
        mode=mode,
        body=b"" if deleted else body,
        digest=bodies.content_digest(body),
        event_time=NOON + dt.timedelta(minutes=minute),
        lane=lane,
        index=extract(resource),
        deleted=deleted,
    )


_receipts = itertools.count(1)


def message(
    *writes: Write, feed: str = "hospital", offset: int = -1, part: int = 0, letter: str = "", **more: Any
) -> MessageWrite:
    number = next(_receipts)
    receipt = more.pop("receipt", f"r{number:06d}")
    return MessageWrite(
        feed=feed,
        receipt=receipt,
        source=Position(f"raw.{feed}", part, number if offset < 0 else offset),
        received_at=more.pop("received_at", NOON + dt.timedelta(seconds=number)),
        letter=letter or f"letter-{number}",
        writes=list(writes),
        **more,
    )


def batch(*messages: MessageWrite, advance: Advance | None = None) -> Batch:
    return Batch(list(messages), (advance,) if advance else ())
