"""How each figure of a FHIR server is taken: import, reads, creates, CRUD, searches; the same for whichever server is asked.

Rates are the better of CONNECTIONS, after a warm-up that is not counted. Every answer outside 2xx and 3xx is told.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from benchmarks.api import mixes, shapes
from benchmarks.api.driver import Load, Request, Server
from benchmarks.api.population import Population

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(os.environ.get("BENCH_FOLDER", ROOT / "build" / "bench"))
QUERIES = Path(os.environ.get("SUNDBRO_SHARED", ROOT.parent / "shared")) / (
    "corpus/mock-health-conformance/config/queries.yaml"
)
CONNECTIONS = (16, 32)
PATIENTS_READ_MAX = 400
IMPORT_SECONDS_MAX = 3600.0
HANGS_SECONDS = 300.0
"""After so much more time than was given, a server that does not answer is given up."""
Stream = Callable[[], Iterator[Request]]


async def imported(server: Server, people: Population, patients: int, done: int) -> float:
    """Import the patients from `done` on in bundles of 100, over 4 connections; return resources a second.

    What all patients share goes first and alone: a server that holds references to be whole refuses who comes before it.
    """
    bundles = mixes.imports(people, patients, done)
    entries = sum(len(people.records[n % len(people.records)]) for n in range(done, patients))
    first = Load()
    if not done:
        first = await server.run(islice(bundles, 1), connections=1, seconds=IMPORT_SECONDS_MAX)
        entries += len(people.shared)
    load = await server.run(bundles, connections=4, seconds=IMPORT_SECONDS_MAX)
    load.statuses += first.statuses
    told("import", load)
    return entries / (first.seconds + load.seconds)


def published(people: Population, patients: int) -> dict[str, shapes.Shape]:
    """Return queries.yaml's shapes, none where it is not there: which is said."""
    if QUERIES.exists():
        return shapes.published(QUERIES, people, patients)
    sys.stderr.write(f"{QUERIES} is not there: its shapes are left out\n")
    return {}


def streams(people: Population, patients: int, others: dict[str, shapes.Shape]) -> dict[str, Stream]:
    """Return what is asked for each figure, in the order in which they are taken."""
    copies = [one for number in range(min(patients, PATIENTS_READ_MAX)) for one in people.copy(number)]
    ids = [f"{one['resourceType']}/{one['id']}" for one in copies]
    wanted = shapes.own(people, patients)
    found: dict[str, Stream] = {
        "reads": lambda: mixes.reads(ids, 1),
        "creates": lambda: mixes.creates(people, patients, 2),
        "crud": lambda: mixes.crud(people, patients, 3),
        "searches": lambda: shapes.requests(wanted, 4),
    }
    return found | ({"published": lambda: shapes.requests(others, 5)} if others else {})


async def figure(
    server: Server,
    name: str,
    stream: Stream,
    seconds: float,
    *,
    warm: float = 2.0,
    spent: Callable[[], float] | None = None,
) -> dict[str, float]:
    """Return the rate of good answers and the waits of one stream, and of each kind of request at the fewer connections.

    `spent` tells the processor seconds used so far: with it, `NAME_cpu_ms` is what a request cost. Kinds with answers
    outside 2xx and 3xx have `KIND_failed`, their number.
    """
    found: dict[str, float] = {}
    asked_for, used = 0, 0.0
    async with asyncio.timeout(warm + len(CONNECTIONS) * seconds + HANGS_SECONDS):
        await server.run(stream(), connections=CONNECTIONS[0], seconds=warm)
        for connections in CONNECTIONS:
            asked = mixes.prepared(stream(), seconds, 12_000 if name == "reads" else 5_000)
            before = spent() if spent else 0.0
            load = await server.run(asked, connections=connections, seconds=seconds)
            used, asked_for = used + (spent() - before if spent else 0.0), asked_for + load.count
            told(f"{name} at {connections}", load)
            good = (load.count - sum(load.failures().values())) / load.seconds
            found[f"{name}_per_second"] = max(good, found.get(f"{name}_per_second", 0.0))
            found |= {f"{name}_{q}_ms_at_{connections}": value for q, value in load.quantiles().items()}
            shape = "queries_" if name == "published" else ""  # some have the same names
            if connections == CONNECTIONS[0] and name in {"searches", "published"}:
                found |= {f"{shape}{kind}_p50_ms": load.quantiles(kind)["p50"] for kind in load.waits}
            for status, count in load.failures().items():
                kind = f"{shape}{status.rpartition(' ')[0]}_failed"
                found[kind] = found.get(kind, 0.0) + count
    if spent:
        found[f"{name}_cpu_ms"] = used / max(1, asked_for) * 1000
    return found


def told(name: str, load: Load) -> None:
    sys.stderr.write(f"{name}: {load.rate:,.0f}/s {load.quantiles()} {load.failures() or ''}\n")
