"""Registers looks in MinLog: fills the outbox from the ledger, and sends what is due, in batches, within MinLog's limits.

An entry is registered at least once: when no answer came, the same batch goes out again under the same correlation ids and
sequence numbers. Of a batch that was taken in part only what failed is tried again, a few times, then it waits for a person.

How the request is signed (VOCES id card, SOSI) is for the sender: the one here posts SOAP to an address, which in production
is the operator's own gateway to NSP. That NSP takes exactly this envelope has not been tried against NSP.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from gateway.audit import minlog
from gateway.audit.minlog import Person
from gateway.errors import Incorrect, Unavailable
from gateway.formats import json
from gateway.model import Resource
from gateway.observe import events
from gateway.store.minlog import MinlogStore, Waiting

TICK_SECONDS: Final = 5.0
HOLD_SECONDS: Final = 300.0
"""Looks of so long become one entry."""
COLLECT_BLOCKS: Final = 200
LEASE_SECONDS: Final = 600.0
AGAIN_SECONDS: Final = 300.0
AGAIN_SECONDS_MAX: Final = 3600.0
TRIES_MAX: Final = 8
HTTP_SECONDS: Final = 60.0
_SOAP: Final = "http://schemas.xmlsoap.org/soap/envelope/"
Sender = Callable[[bytes], Awaitable[bytes]]
"""Sends a RegistrationRequest, returns the answer. Raises Unavailable when nobody knows what became of it."""
Patients = Callable[[Sequence[int]], Awaitable[dict[int, Resource]]]
"""Gives Patients by how the ledger names them; who is not there is left out."""
Names = Callable[[str], Awaitable[str]]


class SoapSender:
    """Posts SOAP 1.1 to an address."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def __call__(self, body: bytes) -> bytes:
        """See `Sender`."""
        envelope = f'<soap:Envelope xmlns:soap="{_SOAP}"><soap:Body>'.encode() + body + b"</soap:Body></soap:Envelope>"
        headers = {"content-type": "text/xml; charset=utf-8", "soapaction": '""'}
        try:
            async with httpx.AsyncClient(timeout=HTTP_SECONDS, follow_redirects=False) as client:
                answer = await client.post(self._address, content=envelope, headers=headers)
        except (httpx.HTTPError, OSError) as error:
            raise Unavailable(f"MinLog does not answer ({type(error).__name__})") from None
        if not answer.is_success:
            raise Unavailable(f"MinLog answers {answer.status_code}")
        return answer.content


@dataclass(slots=True)
class Registrar:
    """Does it, in one process of a gateway; several at once do no harm."""

    store: MinlogStore
    send: Sender
    patients: Patients
    names: Names
    system: str
    tell: events.Tell
    hold_seconds: float = HOLD_SECONDS
    again_seconds: float = AGAIN_SECONDS

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`."""
        while not stop.is_set():
            try:
                while await self.collect():
                    pass
                while await self.deliver():
                    pass
                queue = await self.store.queue()
                self.tell(events.MinlogMeasured(queue.waiting, queue.oldest_seconds, queue.parked))
            except Unavailable as error:
                self.tell(events.PartUnavailable("minlog", type(error).__name__, TICK_SECONDS))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), TICK_SECONDS)

    async def collect(self) -> int:
        """Fill the outbox with what the ledger has new; return from how many blocks."""
        return await self.store.collect(minlog.looks, limit=COLLECT_BLOCKS, hold_seconds=self.hold_seconds)

    async def deliver(self) -> int:
        """Send one batch; return how many entries MinLog added, 0 where nothing was due or nothing may be sent now.

        Raises Unavailable.
        """
        entries = await self.store.claim(
            minlog.ENTRIES_MAX, requests_max=minlog.REQUESTS_HOUR_MAX, seconds=LEASE_SECONDS
        )
        ready = await self._ready(entries)
        if not ready:
            return 0
        try:
            outcome = minlog.outcome(await self.send(minlog.request(ready, self.system)))
        except (Unavailable, Incorrect) as error:
            await self._again([entry for entry, _, _ in ready], type(error).__name__, tiring=False)
            if isinstance(error, Incorrect):
                raise Unavailable(error.text) from None
            raise
        failed = [entry for entry, _, _ in ready if entry.id in outcome.failed]
        rest = [entry for entry, _, _ in ready if entry.id not in outcome.failed]
        if outcome.unnamed:  # some of these failed, nobody knows which: all again, twice is better than never
            await self._again(rest, "unnamed-failure")
        else:
            await self.store.registered([entry.id for entry in rest])
        for entry in failed:
            await self._again([entry], outcome.failed[entry.id])
        self.tell(events.MinlogSent(outcome.added, len(failed) + outcome.unnamed))
        return outcome.added

    async def _ready(self, entries: Sequence[Waiting]) -> list[tuple[Waiting, Person, str]]:
        """Return what can be sent; what cannot is parked."""
        if not entries:
            return []
        known = await self.patients(list({entry.patient for entry in entries}))
        ready: list[tuple[Waiting, Person, str]] = []
        parked: list[tuple[int, str]] = []
        for entry in entries:
            person = minlog.person_of(known[entry.patient]) if entry.patient in known else None
            if person is None or (why := minlog.fault(entry, person)):
                parked.append((entry.id, minlog.fault(entry, person) if person is None else why))
                continue
            organisation = json.look(entry.look).get("organisation", "")
            ready.append((entry, person, await self.names(organisation) if organisation else ""))
        await self.store.park(parked)
        return ready

    async def _again(self, entries: Sequence[Waiting], fault: str, *, tiring: bool = True) -> None:
        """Try entries again, later each time; `tiring` is a fault of the entry, which is parked after some tries."""
        tired = [(entry.id, fault) for entry in entries if tiring and entry.tries >= TRIES_MAX]
        await self.store.park(tired)
        await self.store.again(
            [
                (entry.id, fault, min(AGAIN_SECONDS_MAX, self.again_seconds * 2 ** min(entry.tries - 1, TRIES_MAX)))
                for entry in entries
                if not (tiring and entry.tries >= TRIES_MAX)
            ]
        )
