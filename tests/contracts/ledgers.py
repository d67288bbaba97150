"""A ledger of its own schema for a test, with a writer, a clock that stands still, and a hand that tampers."""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from gateway.audit import Event, verify
from gateway.audit.checkpoint import Key
from gateway.audit.keeper import Keeper
from gateway.audit.ledger import Ledger
from gateway.audit.verify import Report
from gateway.clock import FrozenClock
from gateway.observe.events import silent
from gateway.store.postgres import migrate
from gateway.store.postgres.ledger import PostgresLedger

AWKWARD = dt.datetime(2026, 10, 25, 0, 59, 59, 999_999, tzinfo=dt.UTC)
TRIGGERS = "alter table {} {} trigger user"


class Kept:
    """A witness that keeps lines in memory; `away` makes it not answer."""

    name = "file"

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    async def tell(self, line: bytes) -> None:
        self.lines.append(line)


@dataclass(slots=True)
class World:
    """One ledger."""

    url: str
    schema: str
    store: PostgresLedger
    key: Key
    clock: FrozenClock
    witness: Kept = field(default_factory=Kept)

    def writer(self) -> Ledger:
        return Ledger(self.store, self.key, self.clock, [self.witness.name])

    def keeper(self, ledger: Ledger, retention: dt.timedelta | None = None) -> Keeper:
        return Keeper(self.store, ledger, self.key, self.clock, silent, {"file": self.witness}, retention)

    async def write(self, ledger: Ledger, count: int, *, patient: int = 7) -> None:
        """Write so many records, one after the other: a block each."""
        for number in range(count):
            self.clock.advance(dt.timedelta(milliseconds=1))
            await ledger.write(record(number, patient))

    async def sealed(self, ledger: Ledger) -> None:
        """Make a checkpoint now and send it."""
        self.clock.advance(dt.timedelta(seconds=61))
        assert await ledger.seal()
        await self.keeper(ledger).send()

    async def verified(self, *, asked: bool = True) -> Report:
        return await verify.verify(self.store, {self.key.name: self.key.public}, self.witness.lines if asked else None)

    @contextlib.asynccontextmanager
    async def tampering(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Give a connection of whoever owns the database: the triggers are off."""
        connection = await asyncpg.connect(self.url, server_settings={"search_path": self.schema})
        try:
            for table in ("audit_block", "audit_checkpoint", "audit_chain"):
                await connection.execute(TRIGGERS.format(table, "disable"))
            yield connection
            for table in ("audit_block", "audit_checkpoint", "audit_chain"):
                await connection.execute(TRIGGERS.format(table, "enable"))
        finally:
            await connection.close()


def record(number: int = 0, patient: int = 7, **more: Any) -> dict[str, Any]:
    return {
        "event": Event.READ,
        "status": 200,
        "type": "Observation",
        "count": 1,
        "client": "app",
        "patients": (patient,),
        "resources": [f"Observation/o{number}/1"],
        "source": "127.0.0.1",
        **more,
    }


@contextlib.asynccontextmanager
async def world(url: str, folder: Path, schema: str = "") -> AsyncIterator[World]:
    name = schema or f"a_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(url, server_settings={"search_path": name})
    await migrate.to_head(connection, name)
    store = PostgresLedger(url, schema=name)
    await store.start()
    try:
        yield World(url, name, store, Key.open(folder / "key.pem"), FrozenClock(AWKWARD))
    finally:
        await store.stop()
        if not schema:
            await connection.execute(f"drop schema {name} cascade")
        await connection.close()
