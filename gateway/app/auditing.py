"""The audit ledger put together from settings and parts: a writer for each process with doors, one keeper a gateway."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from gateway.app import logins, names
from gateway.app.parts import Parts
from gateway.audit.checkpoint import Key
from gateway.audit.event import patient_own
from gateway.audit.keeper import Keeper, seal_own
from gateway.audit.ledger import Ledger
from gateway.audit.record import NOBODY, who
from gateway.audit.registrar import Registrar, SoapSender
from gateway.audit.vocabulary import Event
from gateway.audit.witness import FileWitness, HttpWitness, Witness
from gateway.errors import Unavailable
from gateway.formats import json
from gateway.identity import on_record
from gateway.identity.login.endings import Endings
from gateway.model import Resource
from gateway.observe import events
from gateway.search.query import reference
from gateway.settings import Settings
from gateway.store.postgres.ledger import PostgresLedger
from gateway.store.postgres.minlog import PostgresMinlog

ENDINGS_SECONDS = 60.0
"""How often it is looked for log-ins that time has ended."""
DOOR = "identity"
"""By which door, in records of what identity does."""


def key_path(settings: Settings) -> Path:
    """Return where the key is that signs checkpoints."""
    return settings.audit_key or settings.data / "audit" / "ledger-key.pem"


def witnesses(settings: Settings) -> dict[str, Witness]:
    """Return the witnesses that the settings name."""
    found: list[Witness] = []
    if settings.audit_witness_file:
        found.append(FileWitness(settings.audit_witness_file))
    if settings.audit_witness_url:
        found.append(HttpWitness(settings.audit_witness_url))
    return {one.name: one for one in found}


@contextlib.asynccontextmanager
async def stored(settings: Settings, database_url: str) -> AsyncIterator[PostgresLedger]:
    """Give the ledger's store, connected."""
    store = PostgresLedger(database_url, schema=settings.database_schema)
    await store.start()
    try:
        yield store
    finally:
        await store.stop()


@contextlib.asynccontextmanager
async def opened(parts: Parts) -> AsyncIterator[Ledger]:
    """Give a writer of this process's own chain; close the chain in the end."""
    settings = parts.settings
    async with stored(settings, parts.database_url) as store:
        ledger = Ledger(store, Key.open(key_path(settings)), parts.clock, list(witnesses(settings)))
        stop = asyncio.Event()
        sealing = asyncio.create_task(seal_own(ledger, parts.tell, stop), name="audit-seal")
        try:
            yield ledger
        finally:
            stop.set()
            await sealing
            with contextlib.suppress(Unavailable):  # then the keeper of another run closes it
                await ledger.stop()


def of_identity(ledger: Ledger) -> on_record.Record:
    """Return what writes down what identity does."""

    async def record(happened: on_record.Happened) -> None:
        actor = happened.actor
        about = happened.patient or (actor.patient if actor is not None else "")
        given = {
            "event": Event(happened.act.value),
            "status": happened.status,
            "why": happened.why,
            "door": DOOR,
            "type": happened.way,
            "code": happened.how,
            "source": happened.source,
            "patients": (reference("patient", about),) if about else (),
        }
        if happened.client and (actor is None or not actor.client):
            given["client"] = happened.client
        await ledger.write(given, NOBODY if actor is None else who(actor))

    return record


async def keep(parts: Parts, stop: asyncio.Event) -> None:
    """Keep the ledger until `stop`: the role `audit`."""
    settings = parts.settings
    async with opened(parts) as ledger, stored(settings, parts.database_url) as store:
        retention = dt.timedelta(days=settings.audit_retention_days) if settings.audit_retention_days else None
        key = Key.open(key_path(settings))
        keeper = Keeper(store, ledger, key, parts.clock, parts.tell, witnesses(settings), retention)
        endings = Endings(logins.sessions_of(parts), of_identity(ledger))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(keeper.run(stop), name="audit-keeper")
            tasks.create_task(_log_outs(endings, parts, stop), name="log-outs")


async def _log_outs(endings: Endings, parts: Parts, stop: asyncio.Event) -> None:
    """Have on record, until `stop`, what log-ins have ended by time, or without their record."""
    while not stop.is_set():
        try:
            await endings.owed()
        except Unavailable as error:
            parts.tell(events.PartUnavailable("log-outs", type(error).__name__, ENDINGS_SECONDS))
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), ENDINGS_SECONDS)


async def register(parts: Parts, stop: asyncio.Event) -> None:
    """Register looks in MinLog until `stop`: the role `minlog`, where the settings name an address."""
    settings = parts.settings
    outbox = PostgresMinlog(parts.database_url, schema=settings.database_schema)
    async with stored(settings, parts.database_url) as ledger:
        await outbox.start()
        try:

            async def patients(wanted: Sequence[int]) -> dict[int, Resource]:
                known = await ledger.persons([patient_own(one) for one in wanted])
                versions = await parts.store.read_many([("Patient", name) for name in known.values()])
                bodies = {version.id: json.loads(version.body) for version in versions}
                named = {one: known.get(patient_own(one), "") for one in wanted}
                return {one: bodies[name] for one, name in named.items() if name in bodies}

            await Registrar(
                outbox,
                SoapSender(settings.minlog_url),
                patients,
                names.of(parts.store),
                settings.minlog_system,
                parts.tell,
            ).run(stop)
        finally:
            await outbox.stop()
