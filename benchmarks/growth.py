"""Does a search grow with the store? Every shape of the API's mixes, in the store alone, one caller, at several sizes.

    python -m benchmarks.growth --patients 1000 16000 [--keep FOLDER] [--shapes NAME …] [--rounds N]

No HTTP, no access, no audit: a question is parsed and the page read, on PostgreSQL with fsync on. Each size has a database
of its own; FOLDER keeps them from one run to the next. Sizes are asked in turn, round by round, so that what else the
machine does meets both alike; the figure is the middle of all rounds. Prints a table, then one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import json
import os
import random
import statistics
import sys
import tempfile
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.api import population, shapes
from benchmarks.api.__main__ import KEPT, QUERIES
from benchmarks.api.population import Population
from gateway.backbone.port import partition_of
from gateway.errors import SundbroError, TooCostly
from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.search import parse
from gateway.search.index import extract
from gateway.search.query import Query
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.port import Edit
from gateway.store.postgres.store import PostgresStore
from gateway.store.postgres.totals import Totals

_BATCH = 1000
_QUESTIONS = 8
"""How many questions of a shape are asked in a round."""
BESIDE = {
    "observation_content_rare": "Observation?_content=glasgow&_count=5",
    "observation_content_none": "Observation?_content=zebra&_count=5",
    "condition_content_two_words": "Condition?_content=heart%20failure&_count=5",
    "observation_code_text": "Observation?code:text=glucose&_sort=-date&_count=10",
    "condition_code_text_none": "Condition?code:text=zebra&_count=5",
    "encounter_subject_text": "Encounter?subject:text=erdman&_count=5",
    "patient_content_name": "Patient?_content=hansen&_count=5",
    "observation_total": "Observation?code=http://loinc.org|8867-4&_total=accurate&_count=5",
    "encounter_has_code": "Encounter?_has:Observation:encounter:code=http://loinc.org|8867-4&_count=5",
    "status_not": "Observation?status:not=final&_count=5",
}
"""Shapes that no mix has, and that may grow."""


def store(url: str) -> PostgresStore:
    """Return a store as the gateway makes it."""
    return PostgresStore(url, outbox_partition=lambda key: partition_of(key.encode(), 16), extract=extract, merge=merge)


async def fill(url: str, people: Population, patients: int) -> float:
    """Write the population; return the resources a second."""
    made = store(url)
    await made.start()
    gc.disable()
    began, count = time.monotonic(), 0
    waiting: list[Edit] = []
    under_way: asyncio.Task[Any] | None = None
    resources = itertools.chain(people.shared, itertools.chain.from_iterable(map(people.copy, range(patients))))
    for resource in resources:
        body = bodies.prepare(resource)
        digest, index = bodies.content_digest(body), extract(resource)
        waiting.append(Edit(resource["resourceType"], resource["id"], body, digest, index=index, expect=0))
        count += 1
        if len(waiting) == _BATCH:
            if under_way:
                await under_way
            under_way, waiting = asyncio.create_task(made.write(waiting)), []
        if not count % 50:
            await asyncio.sleep(0)
    if under_way:
        await under_way
    if waiting:
        await made.write(waiting)
    seconds = time.monotonic() - began
    gc.enable()
    await made.stop()
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("vacuum analyze")
        await connection.execute("checkpoint")
    finally:
        await connection.close()
    return count / seconds


def questions(people: Population, patients: int, only: list[str]) -> Iterator[tuple[str, list[Query]]]:
    """Yield the questions of each shape that is a search."""
    wanted: dict[str, shapes.Shape] = {**shapes.own(people, patients)}
    if QUERIES.exists():
        wanted |= {f"queries: {name}": one for name, one in shapes.published(QUERIES, people, patients).items()}
    wanted |= {name: (lambda _, path=path: path) for name, path in BESIDE.items()}
    for name, shape in wanted.items():
        if only and not any(one in name for one in only):
            continue
        chance = random.Random(name)
        asked = [_query(shape(chance)) for _ in range(_QUESTIONS)]
        if all(query is not None for query in asked):
            yield name, [query for query in asked if query is not None]


def _query(path: str) -> Query | None:
    kind, _, text = path.partition("?")
    if "/" in kind or kind == "metadata" or "$" in path:
        return None
    pairs = [
        (name, value)
        for name, value in urllib.parse.parse_qsl(text)
        if not name.startswith(("_include", "_revinclude"))
    ]
    try:
        return parse.understand(kind, pairs).query
    except SundbroError:
        return None


async def ask(made: PostgresStore, query: Query) -> str:
    try:
        await made.search(query)
    except TooCostly:
        return "refused"
    return ""


async def measure(made: PostgresStore, asked: list[Query]) -> tuple[list[float], bool]:
    """Return the milliseconds of each question, and whether one was refused as too costly. A total is asked cold."""
    waits, refused = [], False
    for query in asked:
        if query.total:
            made._searches._totals = Totals()  # noqa: SLF001
        began = time.perf_counter()
        refused = bool(await ask(made, query)) or refused
        waits.append((time.perf_counter() - began) * 1000)
    return waits, refused


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, nargs="+", default=[1000, 16000])
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--shapes", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    people = population.make(KEPT)
    with tempfile.TemporaryDirectory(prefix="sundbro-growth-") as temporary:
        folder = given.keep or Path(temporary)
        databases = {patients: EmbeddedPostgres(folder / str(patients)) for patients in given.patients}
        stores: dict[int, PostgresStore] = {}
        try:
            for patients, database in databases.items():
                url = await database.start()
                if not (folder / f"{patients}.filled").exists():
                    rate = await fill(url, people, patients)
                    (folder / f"{patients}.filled").write_text(f"{rate:.0f} resources a second\n")
                stores[patients] = store(url)
                await stores[patients].start()
            found = await rounds(stores, people, given.shapes, given.rounds)
        finally:
            for made in stores.values():
                await made.stop()
            for database in databases.values():
                await database.stop()
    _table(found, given.patients)
    sys.stdout.write(json.dumps({"load": os.getloadavg()[0], "p50_ms": found}) + "\n")


async def rounds(
    stores: dict[int, PostgresStore], people: Population, only: list[str], count: int
) -> dict[str, dict[str, Any]]:
    """Return the middle of each shape by number of patients, and whether it was refused."""
    asked = {patients: dict(questions(people, patients, only)) for patients in stores}
    waits: dict[str, dict[int, list[float]]] = {}
    refused: set[tuple[str, int]] = set()
    for number in range(count + 1):
        for name in next(iter(asked.values())):
            for patients, made in stores.items():
                each, costly = await measure(made, asked[patients][name])
                if number:  # the first round warms
                    waits.setdefault(name, {}).setdefault(patients, []).extend(each)
                if costly:
                    refused.add((name, patients))
    return {
        name: {
            str(patients): "refused" if (name, patients) in refused else round(statistics.median(each), 2)
            for patients, each in by_size.items()
        }
        for name, by_size in waits.items()
    }


def _table(found: dict[str, dict[str, Any]], sizes: list[int]) -> None:
    sys.stdout.write(f"| p50 / ms, one caller | {' | '.join(f'{size:,} patients' for size in sizes)} | ratio |\n")
    sys.stdout.write("| --- |" + " --- |" * (len(sizes) + 1) + "\n")
    for name, by_size in found.items():
        values = [by_size[str(size)] for size in sizes]
        ratio = "" if "refused" in values else f"{values[-1] / values[0]:.2f}"
        sys.stdout.write(f"| {name} | {' | '.join(map(str, values))} | {ratio} |\n")


if __name__ == "__main__":
    asyncio.run(main())
