"""Does a search grow with the store? Every shape of the API's mixes, in the store alone, one caller, at several sizes.

    python -m benchmarks.growth --patients 1000 16000 [--keep FOLDER] [--shapes NAME …] [--rounds N]

No HTTP, no access, no audit: a question is parsed and the page read, on PostgreSQL with fsync on. Each size has a database
of its own; FOLDER keeps them from one run to the next. Sizes are asked in turn, round by round, so that what else the
machine does meets both alike. Of each question the quickest round counts, by the clock and by processor time (caller and
PostgreSQL, as the kernel accounts it: Linux); the figure is the middle of a shape's questions. Prints a table, then one JSON
line.
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
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.api import population, shapes
from benchmarks.api.figures import KEPT, QUERIES
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
_BACKENDS = "select pid from pg_stat_activity where datname = current_database() and backend_type = 'client backend'"
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
    wanted |= {name: _always(path) for name, path in BESIDE.items()}
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


@dataclass(slots=True)
class Sized:
    """A store of a size, the questions for it, and the processes that answer."""

    made: PostgresStore
    asked: dict[str, list[Query]]
    backends: list[int] = field(default_factory=list)

    def spent(self) -> float:
        """Return the milliseconds of processor time that the caller and PostgreSQL's processes have had."""
        nanoseconds = sum(int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) for pid in self.backends)
        return nanoseconds / 1e6 + time.process_time() * 1e3

    async def measure(self, name: str) -> tuple[list[tuple[float, float]], bool]:
        """Return (clock, processor) milliseconds of each question, and whether one was refused as too costly. A total is
        asked cold.
        """
        found, refused = [], False
        for query in self.asked[name]:
            if query.total:
                self.made._searches._totals = Totals()  # noqa: SLF001
            began, spent = time.perf_counter(), self.spent()
            try:
                await self.made.search(query)
            except TooCostly:
                refused = True
            found.append(((time.perf_counter() - began) * 1000, self.spent() - spent))
        return found, refused


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
        sizes: dict[int, Sized] = {}
        try:
            for patients, database in databases.items():
                url = await database.start()
                if not (folder / f"{patients}.filled").exists():
                    rate = await fill(url, people, patients)
                    (folder / f"{patients}.filled").write_text(f"{rate:.0f} resources a second\n")
                made = store(url)
                await made.start()
                sizes[patients] = Sized(made, dict(questions(people, patients, given.shapes)))
            found = await rounds(sizes, given.rounds)
        finally:
            for one in sizes.values():
                await one.made.stop()
            for database in databases.values():
                await database.stop()
    _table(found, given.patients)
    sys.stdout.write(json.dumps({"load": os.getloadavg()[0], "p50_ms": found}) + "\n")


async def rounds(sizes: dict[int, Sized], count: int) -> dict[str, dict[str, Any]]:
    """Return [clock, processor] milliseconds of each shape by number of patients, "refused" where a question was."""
    least: dict[tuple[str, int], list[tuple[float, float]]] = {}
    refused: set[tuple[str, int]] = set()
    for number in range(count + 1):
        for name in next(iter(sizes.values())).asked:
            for patients, one in sizes.items():
                if not number:
                    await one.measure(name)  # warms, and connects
                    continue
                if not one.backends:
                    async with one.made._searches._connections.session() as connection:  # noqa: SLF001
                        one.backends = [row[0] for row in await connection.fetch(_BACKENDS)]
                each, costly = await one.measure(name)
                before = least.get((name, patients), each)
                least[name, patients] = [(min(a[0], b[0]), min(a[1], b[1])) for a, b in zip(before, each, strict=True)]
                if costly:
                    refused.add((name, patients))
    found: dict[str, dict[str, Any]] = {}
    for (name, patients), each in least.items():
        middle = [round(statistics.median(one[kind] for one in each), 2) for kind in (0, 1)]
        found.setdefault(name, {})[str(patients)] = "refused" if (name, patients) in refused else middle
    return found


def _always(path: str) -> shapes.Shape:
    return lambda _: path


def _table(found: dict[str, dict[str, Any]], sizes: list[int]) -> None:
    columns = [f"{what}, {size:,} patients" for what in ("clock", "processor") for size in sizes]
    sys.stdout.write(f"| p50 / ms, one caller | {' | '.join(columns)} | ratio, clock | ratio, processor |\n")
    sys.stdout.write("| --- |" + " --- |" * (len(columns) + 2) + "\n")
    for name, by_size in found.items():
        values: list[list[Any]] = [
            [by_size[str(size)][kind] if by_size[str(size)] != "refused" else "refused" for size in sizes]
            for kind in (0, 1)
        ]
        ratios = ["" if "refused" in one else f"{one[-1] / one[0]:.2f}" for one in values]
        sys.stdout.write(f"| {name} | {' | '.join(map(str, [*values[0], *values[1], *ratios]))} |\n")


if __name__ == "__main__":
    asyncio.run(main())
