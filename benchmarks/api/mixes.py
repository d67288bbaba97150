"""Reads, creates, create-read-update-delete and imports, as streams of requests for the driver."""

from __future__ import annotations

import copy
import random
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

from benchmarks.api.driver import Request, Response
from benchmarks.api.population import Population
from gateway.formats import json


def prepared(stream: Iterator[Request], seconds: float, a_second: int) -> Iterator[Request]:
    """Return a stream whose requests are made before the clock runs: to make them would take time from the server.

    `a_second` is more than the server will answer: a stream that runs dry ends the run early.
    """
    return iter(list(islice(stream, int(seconds * a_second))))


def imports(population: Population, patients: int, first: int = 0) -> Iterator[Request]:
    """Return transaction Bundles of 100, of the patients from `first` on, made before the first is asked for."""
    packed = [zlib.compress(body, 1) for body in population.bundles(patients, first=first)]
    return (Request("POST", "", zlib.decompress(body), kind="transaction") for body in packed)


def reads(ids: list[str], seed: int) -> Iterator[Request]:
    """Yield reads of these `Type/id`, without end."""
    chance = random.Random(seed)
    while True:
        yield Request("GET", chance.choice(ids), kind="read")


def creates(population: Population, patients: int, seed: int) -> Iterator[Request]:
    """Yield creates of Observations about known patients, each with a value of its own, without end."""
    for body in observations(population, patients, seed):
        yield Request("POST", "Observation", json.dumps(body), kind="create", headers={"prefer": "return=minimal"})


def crud(population: Population, patients: int, seed: int) -> Iterator[Request]:
    """Yield creates, each followed on its connection by read, update, read and delete of what it made."""
    for body in observations(population, patients, seed):
        yield Request("POST", "Observation", json.dumps(body), kind="create", then=_after_create(body))


def _after_create(body: dict[str, Any]) -> Any:
    def created(answer: Response) -> Request | None:
        if answer.status != 201:
            return None
        way = answer.headers["location"].partition("/_history/")[0].split("/")[-2:]
        address = "/".join(way)
        changed = {**body, "id": way[1], "status": "amended"}

        def deleted(_: Response) -> Request:
            return Request("DELETE", address, kind="delete")

        def updated(_: Response) -> Request:
            return Request("PUT", address, json.dumps(changed), kind="update", then=deleted)

        return Request("GET", address, kind="read", then=updated)

    return created


def observations(population: Population, patients: int, seed: int) -> Iterator[dict[str, Any]]:
    chance = random.Random(seed)
    kept: list[dict[str, Any]] = []
    for number in range(min(patients, 50)):
        kept += [one for one in population.copy(number) if one["resourceType"] == "Observation"]
    while True:
        body = copy.copy(chance.choice(kept))
        body.pop("id")
        body["note"] = [{"text": f"measured again, {chance.getrandbits(48):x}"}]
        yield body
