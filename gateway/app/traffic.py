"""Synthetic citizens through the real doors: what a hospital, its laboratory, a municipality and a vendor send.

Senders behave as senders do: what was not acknowledged is sent again, some acknowledged messages are sent twice, and some
readings cannot be true.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

import httpx

from gateway.app import tokens
from gateway.app.feeds import id_secret
from gateway.app.mllp_client import MllpClient, answered
from gateway.clock import SystemClock
from gateway.errors import Unavailable
from gateway.fhir.ids import Ids
from gateway.identity.people import PEOPLE, record
from gateway.settings import Settings
from synthetic import Citizens, Home, Hospital, Laboratory, Municipality, cast, rights

SHARES = {"adt": 0.3, "oru": 0.2, "notification": 0.1, "observation": 0.05, "home": 0.35}
"""Of all messages sent."""
TWICE = 0.01
"""Share of messages that are sent a second time, as after a lost acknowledgement."""
FAULTS = 0.02
"""Share of home readings that cannot be true, and of admissions about nobody."""
READINGS_A_MESSAGE = 10
AGAIN_SECONDS = 1.0


class Traffic:
    """Sends until it is told to stop. `acknowledged` counts, per feed, what a door said it has written down."""

    def __init__(self, settings: Settings, http: str, mllp: str, seed: int, citizens: int, rate: float) -> None:
        self._settings = settings
        self._http = http
        self._mllp = mllp
        self._rate = rate
        self._draw = random.Random(seed)  # noqa: S311  synthetic citizens, not secrets
        clock, people = SystemClock(), Citizens(seed, citizens)
        municipality = Municipality(people, clock)
        first = cast.beginnings(clock)
        endless: dict[str, Iterator[bytes]] = {
            "adt": Hospital(people, clock, faults=FAULTS).adt(),
            "oru": Laboratory(people, clock).results(),
            "notification": municipality.notifications(),
            "observation": municipality.observations(),
            "home": Home(people, clock, faults=FAULTS).batches(READINGS_A_MESSAGE),
        }
        self._sources = {name: itertools.chain(first.get(name, ()), source) for name, source in endless.items()}
        self.acknowledged: Counter[str] = Counter()

    async def run(self, stop: asyncio.Event) -> None:
        """Send at the rate wished for. Each source is one connection: its messages keep their order."""
        token = tokens.mint(self._settings, "", [])
        async with contextlib.AsyncExitStack() as stack:
            host, _, port = self._mllp.rpartition(":")
            http = await stack.enter_async_context(
                httpx.AsyncClient(
                    base_url=f"http://{self._http}", headers={"Authorization": f"Bearer {token}"}, timeout=30
                )
            )
            senders: dict[str, Callable[[bytes], Awaitable[bool]]] = {
                "adt": self._by_mllp(await stack.enter_async_context(MllpClient(host, int(port)))),
                "oru": self._by_mllp(await stack.enter_async_context(MllpClient(host, int(port)))),
                "notification": self._by_http(http, "municipal", "application/fhir+json"),
                "observation": self._by_http(http, "municipal", "application/fhir+json"),
                "home": self._by_http(http, "home", "application/json"),
            }
            sources = (self._source(name, send, stop) for name, send in senders.items())
            await asyncio.gather(*sources, self._rights(http, stop))

    async def _rights(self, http: httpx.AsyncClient, stop: asyncio.Event) -> None:
        """Write what no feed says of the cast, each as soon as whom it is about is stored."""
        ids = Ids(id_secret(self._settings))
        for asked in rights.requests(lambda name: record(PEOPLE[name], ids)):
            kind = {"Content-Type": asked.content_type}
            while not stop.is_set():
                with contextlib.suppress(httpx.TransportError):
                    answer = await http.request(asked.method, f"/fhir/{asked.path}", content=asked.body, headers=kind)
                    if answer.is_success:
                        break
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), AGAIN_SECONDS)

    async def _source(self, name: str, send: Callable[[bytes], Awaitable[bool]], stop: asyncio.Event) -> None:
        pause = 1 / (self._rate * SHARES[name])
        loop = asyncio.get_running_loop()
        due = loop.time() + self._draw.random() * pause
        for message in self._sources[name]:
            while not stop.is_set():
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stop.wait(), max(0.0, due - loop.time()))
                if stop.is_set() or await send(message):
                    break
                due = loop.time() + AGAIN_SECONDS
            if stop.is_set():
                return
            due += pause
            if self._draw.random() < TWICE:
                await send(message)

    def _by_mllp(self, client: MllpClient) -> Callable[[bytes], Awaitable[bool]]:
        async def send(message: bytes) -> bool:
            try:
                taken = answered(await client.send(message))[0] in {"AA", "CA"}
            except Unavailable:
                return False
            self.acknowledged["hospital"] += taken
            return taken

        return send

    def _by_http(self, client: httpx.AsyncClient, feed: str, kind: str) -> Callable[[bytes], Awaitable[bool]]:
        async def send(message: bytes) -> bool:
            try:
                answer = await client.post(f"/ingest/{feed}", content=message, headers={"Content-Type": kind})
            except httpx.TransportError:
                return False
            taken = answer.status_code == httpx.codes.ACCEPTED
            self.acknowledged[feed] += taken
            return taken

        return send
