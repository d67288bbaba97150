"""Senders as hospitals, municipalities and vendors have them: one message at a time, sent again until it is acknowledged.

`Load` makes its messages in advance, so that it is known what must be found in the end. Every body is unlike every other.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import random
from collections import Counter
from dataclasses import dataclass, field

import httpx

from gateway.app.mllp_client import MllpClient, answered
from gateway.errors import Unavailable
from gateway.formats import er7
from tests.gateway import Gateway
from tests.messages import MORNING, People, Person, adt, lines, nobody, notification, oru, reading

HOSPITAL_LINES, VENDORS = 8, 3
BATCH = 10
ANSWER_SECONDS_MAX = 30.0
NO_PAUSE, PAUSE_SECONDS = 0.05, 0.4


@dataclass(slots=True)
class Posted:
    """One body on its way through the HTTP door, and the messages in it."""

    feed: str
    content_type: str
    body: bytes
    messages: list[bytes]


@dataclass(slots=True)
class Ledger:
    """What senders know in the end. `receipts` maps a receipt to the message it was given for."""

    acknowledged: Counter[bytes] = field(default_factory=Counter)
    receipts: dict[str, bytes] = field(default_factory=dict)
    again: int = 0
    """Times that something was sent again, because no answer had come or the answer was to come back later."""


class Load:
    """About `count` messages: 60 % by MLLP (updates, results, some about nobody), the rest by HTTP."""

    def __init__(self, seed: int, count: int) -> None:
        self._chance = random.Random(f"{seed} load")
        self.people = People(seed * 1000)
        self.ledger = Ledger()
        self.rejected: set[bytes] = set()
        self.updates: dict[str, int] = {}
        """Person number → how many numbered updates (0, 1, …) there are in the load."""
        self.corrections: dict[str, int] = {}
        """Person number → how many corrections of one and the same weight, each 0.01 kg heavier."""
        self.lines = [self._hospital(line, count * 6 // 10 // HOSPITAL_LINES) for line in range(HOSPITAL_LINES)]
        self.posts = [self._vendor(count * 35 // 100 // VENDORS // BATCH) for _ in range(VENDORS)]
        self.posts.append(self._municipality(count * 5 // 100))
        self.messages: dict[bytes, str] = {body: "hospital" for line in self.lines for body in line}
        for post in (post for vendor in self.posts for post in vendor):
            self.messages |= dict.fromkeys(post.messages, post.feed)

    @property
    def done(self) -> int:
        return len(self.ledger.acknowledged)

    @property
    def count(self) -> int:
        return len(self.messages)

    def _hospital(self, line: int, count: int) -> list[bytes]:
        persons = [self.people.one() for _ in range(4)]
        self.updates |= {person.cpr: 0 for person in persons}
        made = []
        for n in range(count):
            control, person, at = f"L{line}.{n}", self._chance.choice(persons), MORNING + dt.timedelta(seconds=n)
            kind = self._chance.random()
            if kind < 0.02:
                made.append(nobody(control))
                self.rejected.add(made[-1])
            elif kind < 0.25:
                made.append(oru(person, control, order=f"O{line}.{n}", at=at))
            else:
                visit = f"V{line}.{persons.index(person)}" if kind < 0.5 else ""
                made.append(adt(person, control, number=self.updates[person.cpr], at=at, visit=visit))
                self.updates[person.cpr] += 1
        return made

    def _vendor(self, count: int) -> list[Posted]:
        person = self.people.one()
        made = []
        for n in range(count):
            at = MORNING + dt.timedelta(minutes=n)
            corrected = reading(person, kind="weight", unit="kg", value=round(40 + n / 100, 2))
            others = [reading(person, value=60 + n % 40, at=at + dt.timedelta(seconds=s)) for s in range(BATCH - 1)]
            body = lines([corrected, *others])
            made.append(Posted("home", "application/x-ndjson", body, body.splitlines()))
        self.corrections[person.cpr] = count
        return made

    def _municipality(self, count: int) -> list[Posted]:
        persons: list[Person] = [self.people.one() for _ in range(4)]
        bodies = [notification(self._chance.choice(persons)) for _ in range(count)]
        return [Posted("municipal", "application/fhir+json", body, [body]) for body in bodies]

    async def reached(self, count: float) -> None:
        """Return when so many messages have been acknowledged."""
        while self.done < count:
            await asyncio.sleep(0.005)

    async def run(self, gateway: Gateway) -> None:
        """Send all of it; return when every message has been acknowledged."""
        token = await asyncio.to_thread(gateway.token)
        async with asyncio.TaskGroup() as group:
            for line in self.lines:
                group.create_task(self._send_line(gateway, line))
            for posts in self.posts:
                group.create_task(self._post(gateway, token, posts))

    async def _send_line(self, gateway: Gateway, messages: list[bytes]) -> None:
        host, _, port = gateway.mllp.partition(":")
        left = list(reversed(messages))
        while left:
            with contextlib.suppress(Unavailable, OSError):
                async with MllpClient(host, int(port), seconds_max=ANSWER_SECONDS_MAX) as client:
                    while left:
                        code, control = answered(await client.send(left[-1]))
                        assert control.encode() == er7.peek(left[-1]).control_id, "an answer to another message"
                        assert code == "AA", code
                        self.ledger.acknowledged[left.pop()] += 1
            if left:
                self.ledger.again += 1
                await asyncio.sleep(self._chance.uniform(NO_PAUSE, PAUSE_SECONDS))

    async def _post(self, gateway: Gateway, token: str, posts: list[Posted]) -> None:
        headers = {"authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(
            base_url=f"http://{gateway.http}", headers=headers, timeout=ANSWER_SECONDS_MAX
        ) as client:
            for post in posts:
                while not await self._posted(client, post):
                    self.ledger.again += 1
                    await asyncio.sleep(self._chance.uniform(NO_PAUSE, PAUSE_SECONDS))

    async def _posted(self, client: httpx.AsyncClient, post: Posted) -> bool:
        try:
            answer = await client.post(
                f"/ingest/{post.feed}", content=post.body, headers={"content-type": post.content_type}
            )
        except httpx.TransportError:
            return False
        if answer.status_code in {httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS}:
            return False
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        told = json.loads(answer.content)
        receipts = [one["receipt"] for one in (told if isinstance(told, list) else [told])]
        self.ledger.receipts |= dict(zip(receipts, post.messages, strict=True))
        self.ledger.acknowledged.update(post.messages)
        return True
