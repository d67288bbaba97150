"""`sundbro audit`: verify, prove, erase, and what waits for MinLog; beside a running gateway or without one."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from gateway.app import auditing, ground
from gateway.audit import erasure, proof
from gateway.audit import verify as verifying
from gateway.audit.checkpoint import Key, public_keys
from gateway.audit.ledger import Ledger
from gateway.audit.witness import lines
from gateway.clock import SystemClock
from gateway.errors import Incorrect, Misconfigured
from gateway.formats import json
from gateway.settings import Settings
from gateway.store.postgres.ledger import PostgresLedger
from gateway.store.postgres.minlog import PostgresMinlog

_ID = re.compile(r"([1-9][0-9]{0,8})-([1-9][0-9]{0,17})")


@contextlib.asynccontextmanager
async def _ledger(settings: Settings) -> AsyncIterator[PostgresLedger]:
    async with ground.database(settings, attach=True) as url, auditing.stored(settings, url) as store:
        yield store


def _keys(settings: Settings, given: Sequence[Path]) -> Mapping[str, Ed25519PublicKey]:
    return public_keys(given or [auditing.key_path(settings)])


def _say(value: object) -> None:
    sys.stdout.write(json.dumps(value).decode() + "\n")


async def verify(settings: Settings, witness: Path | None, keys: Sequence[Path]) -> int:
    """Verify the ledger, print what is found; return the exit status."""
    told = witness or settings.audit_witness_file
    try:
        known = lines(told) if told else None
    except OSError as error:
        raise Misconfigured(f"the witness file {told} cannot be read: {error.strerror}") from None
    async with _ledger(settings) as store:
        report = await verifying.verify(store, _keys(settings, keys), known)
    for finding in report.findings:
        _say({"wrong": finding.wrong, "chain": finding.chain, "record": finding.seq, "text": finding.text})
    _say(
        {
            "sound": report.sound,
            "records": report.records,
            "erased": report.erased,
            "checkpoints": report.checkpoints,
            "without_checkpoint": report.unsealed,
            "witness": f"{report.witnessed} checkpoints" if known is not None else "none was asked",
        }
    )
    return 0 if report.sound else 1


def _named(text: str) -> tuple[int, int]:
    found = _ID.fullmatch(text)
    if found is None:
        raise Incorrect("a record is named CHAIN-NUMBER, as the id of its AuditEvent")
    return int(found[1]), int(found[2])


async def prove(settings: Settings, record: str) -> int:
    """Print the proof of a record."""
    async with _ledger(settings) as store:
        _say(await proof.prove(store, *_named(record), _keys(settings, [])))
    return 0


async def erase(settings: Settings, records: Sequence[str]) -> int:
    """Erase what is personal in records."""
    async with _ledger(settings) as store:
        key = Key.open(auditing.key_path(settings))
        ledger = Ledger(store, key, SystemClock(), list(auditing.witnesses(settings)))
        try:
            await erasure.erase(store, ledger, [_named(record) for record in records])
        finally:
            await ledger.stop()
    _say({"erased": list(records)})
    return 0


async def minlog(settings: Settings, *, again: bool) -> int:
    """Print what waits for MinLog, and what failed."""
    async with ground.database(settings, attach=True) as url:
        outbox = PostgresMinlog(url, schema=settings.database_schema)
        await outbox.start()
        try:
            if again:
                _say({"again": await outbox.release()})
            queue = await outbox.queue()
            _say({"waiting": queue.waiting, "oldest_seconds": round(queue.oldest_seconds), "parked": queue.parked})
            for fault in await outbox.faults():
                _say({**fault, "oldest": fault["oldest"].isoformat()})
        finally:
            await outbox.stop()
    return 0
