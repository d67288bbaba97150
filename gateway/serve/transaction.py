"""batch and transaction: many interactions in one request (FHIR R4 http#transaction).

A transaction is one set of steps, written together or not at all; its readings (searches by POST and operations that
read among them) come after that, and one that fails says so in its entry. Entries of a batch know nothing of one another;
they share database transactions with whatever else is written at that moment. Both are done in the order DELETE, POST,
PUT and PATCH, GET, and answered in the order asked.
"""

from __future__ import annotations

import asyncio
import http
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from gateway import access, errors
from gateway.access import Actor, Read, Search
from gateway.access.scopes import Letter
from gateway.clock import Clock, instant
from gateway.formats import json
from gateway.model import Resource
from gateway.search.query import Query
from gateway.serve import auditing, prefer, seen
from gateway.serve import entries as asked
from gateway.serve.answer import Answer, etag, refusal
from gateway.serve.asking import Asking
from gateway.serve.entries import Find
from gateway.serve.perform import Performer
from gateway.serve.readings import Reading
from gateway.serve.routes import Interaction
from gateway.serve.step import Done, Method, Step, What

ENTRIES_MAX: Final = 10_000
_AT_ONCE: Final = 32
"""Entries of a batch that are under way at the same time."""
_ORDER: Final = {Method.DELETE: 0, Method.POST: 1, Method.PUT: 2, Method.PATCH: 2}
_LAST: Final = 3
_INTERACTIONS: Final = {
    Method.POST: Interaction.CREATE,
    Method.PUT: Interaction.UPDATE,
    Method.PATCH: Interaction.PATCH,
    Method.DELETE: Interaction.DELETE,
}
_WHAT: Final = {
    What.CREATED: Interaction.CREATE,
    What.WRITTEN: Interaction.UPDATE,
    What.FOUND: Interaction.READ,
    What.DELETED: Interaction.DELETE,
}

Reads = Callable[[Actor, Asking], Awaitable[Answer]]


class TransactionHandler:
    """Answers bundles. `reads` answers what only reads, `find` is the table of routes; `base` is the address of the API,
    without a slash at its end.
    """

    def __init__(
        self, perform: Performer, reads: Reads, find: Find, base: str, clock: Clock, note: Callable[[Exception], None]
    ) -> None:
        self._perform = perform
        self._find = find
        self._reads = reads
        self._base = base
        self._clock = clock
        self._note = note

    async def __call__(self, actor: Actor, asking: Asking) -> Answer:
        """Answer with a batch-response or transaction-response, or refuse a transaction whole."""
        bundle = asking.resource()
        kind, entries = _opened(bundle)
        wanted = prefer.preferred(asking.header(b"prefer"), "minimal")
        if kind == "transaction":
            told = await self._transaction(actor, bundle, entries, wanted)
        else:
            told = await self._batch(actor, bundle, entries, wanted)
        parts = [f'{{"resourceType":"Bundle","type":"{kind}-response"'.encode()]
        if told:
            parts += [b',"entry":[', b",".join(told), b"]"]
        return Answer(200, b"".join((*parts, b"}")))

    async def _transaction(self, actor: Actor, bundle: Resource, entries: list[Any], wanted: str) -> list[bytes]:
        asked.envelope(bundle, entries)
        now = self._clock.now()
        jobs = [
            asked.read(entry, f"Bundle.entry[{place}]", find=self._find, now=now, base=self._base)
            for place, entry in enumerate(entries)
        ]
        for job in jobs:
            if isinstance(job, Reading):
                _may(actor, job)
        steps = sorted((job for job in jobs if isinstance(job, Step)), key=_place)
        done = await self._perform(actor, steps, linked=True) if steps else []
        by_step = {id(step): one for step, one in zip(steps, done, strict=True)}
        return [
            await self._reading(actor, job) if isinstance(job, Reading) else self._told(by_step[id(job)], wanted)
            for job in jobs
        ]

    async def _batch(self, actor: Actor, bundle: Resource, entries: list[Any], wanted: str) -> list[bytes]:
        asked.envelope(bundle, [])
        told: list[bytes] = [b""] * len(entries)
        jobs: list[tuple[int, int, Step | Reading]] = []
        for place, entry in enumerate(entries):
            try:
                asked.envelope({"resourceType": "Bundle", "type": "batch"}, [entry], place)
                job = asked.read(
                    entry, f"Bundle.entry[{place}]", find=self._find, now=self._clock.now(), base=self._base
                )
            except errors.Refused as error:
                told[place] = _refused(error)
            else:
                jobs.append((_place(job), place, job))
        for phase in sorted({order for order, _, _ in jobs}):
            waiting = iter(_chains([(place, job) for order, place, job in jobs if order == phase]))
            await asyncio.gather(*(self._work(actor, waiting, told, wanted) for _ in range(_AT_ONCE)))
        return told

    async def _work(
        self, actor: Actor, waiting: Iterable[list[tuple[int, Step | Reading]]], told: list[bytes], wanted: str
    ) -> None:
        for chain in waiting:
            for place, job in chain:
                told[place] = await self._entry(actor, job, wanted)

    async def _entry(self, actor: Actor, job: Step | Reading, wanted: str) -> bytes:
        if isinstance(job, Reading):
            return await self._reading(actor, job)
        try:
            (done,) = await self._perform(actor, [job])
        except Exception as error:  # noqa: BLE001 - the entry's own fate; a bug is told like any other
            self._note(error)
            auditing.entry(_INTERACTIONS[job.method], job.type, refusal(error).status)
            return _refused(error)
        return self._told(done, wanted)

    async def _reading(self, actor: Actor, job: Reading) -> bytes:
        matched = job.matched
        try:
            with seen.within():
                answer = await self._reads(actor, Asking(job.matched, job.headers, job.pairs, actor, job.body))
        except Exception as error:  # noqa: BLE001 - the entry's own fate
            self._note(error)
            auditing.reading(matched, refusal(error).status)
            return _refused(error)
        auditing.reading(matched, answer.status)
        headers = dict(answer.headers)
        response = {"status": _status(answer.status)}
        if b"etag" in headers:
            response["etag"] = headers[b"etag"].decode()
        return _entry("", b"" if job.head else answer.resource, response)

    def _told(self, done: Done, wanted: str) -> bytes:
        version = done.version
        deleted = done.what is What.DELETED
        auditing.entry(_WHAT[done.what], done.type, done.what.value if done.what is not What.FOUND else 200)
        response: dict[str, Any] = {"status": _status(done.what.value if done.what is not What.FOUND else 200)}
        if version is not None and version.version:
            if not deleted:
                response["location"] = f"{done.type}/{done.id}/_history/{version.version}"
            response |= {"etag": etag(version.version), "lastModified": instant(version.last_updated)}
        if wanted == "OperationOutcome":
            response["outcome"] = json.loads(prefer.told(done))
        whole = wanted == "representation" and done.shown and not deleted and version is not None
        address = "" if deleted else f"{self._base}/{done.type}/{done.id}"
        return _entry(address, version.body if whole and version is not None else b"", response)


def _opened(bundle: Resource) -> tuple[str, list[Any]]:
    """Return what a bundle is and its entries. Raises Incorrect, TooLarge."""
    if bundle.get("resourceType") != "Bundle":
        raise errors.Incorrect("what is posted here is a Bundle", at="resourceType")
    kind, entries = bundle.get("type"), bundle.get("entry", [])
    if not isinstance(kind, str) or kind not in {"batch", "transaction"}:
        raise errors.Incorrect("a Bundle that is posted here is a batch or a transaction", at="Bundle.type")
    if not isinstance(entries, list):
        raise errors.Incorrect("entry is an array", at="Bundle.entry")
    if len(entries) > ENTRIES_MAX:
        raise errors.TooLarge(f"a {kind} has at most {ENTRIES_MAX} entries", at="Bundle.entry")
    return kind, entries


def _chains(jobs: Sequence[tuple[int, Step | Reading]]) -> Iterable[list[tuple[int, Step | Reading]]]:
    """Return jobs that may be done beside one another, those about the same resource one after the other."""
    chains: dict[tuple[str, str] | int, list[tuple[int, Step | Reading]]] = {}
    for place, job in jobs:
        key = (job.type, job.id) if isinstance(job, Step) and job.id else place
        chains.setdefault(key, []).append((place, job))
    return chains.values()


def _place(job: Step | Reading) -> int:
    if isinstance(job, Reading):
        return _ORDER[Method.POST] if job.changes else _LAST
    return _ORDER[job.method]


def _may(actor: Actor, job: Reading) -> None:
    """Refuse a reading that its caller has no right to, before anything is written. Raises NotPermitted.

    An operation that changes something does so in a database transaction of its own: Incorrect.
    """
    if job.changes:
        raise errors.Incorrect(
            "an operation that changes something is no part of a transaction; ask it in a batch, or by itself",
            at=f"{job.at}.request.url",
        )
    kind = job.matched.type
    if not kind:
        return
    searching = job.matched.route.letter is Letter.SEARCH
    access.decide(actor, Search(Query(kind)) if searching else Read(kind, job.matched.id))


def _status(status: int) -> str:
    return f"{status} {http.HTTPStatus(status).phrase}"


def _refused(error: Exception) -> bytes:
    answer = refusal(error)
    return _entry("", b"", {"status": _status(answer.status), "outcome": json.loads(answer.resource)})


def _entry(address: str, resource: bytes, response: dict[str, Any]) -> bytes:
    parts: list[bytes] = []
    if address:
        parts.append(b'"fullUrl":' + json.dumps(address))
    if resource:
        parts.append(b'"resource":' + resource)
    parts.append(b'"response":' + json.dumps(response))
    return b"{" + b",".join(parts) + b"}"
