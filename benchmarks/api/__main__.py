"""The FHIR API measured: import, reads, creates, CRUD, searches, at growing populations, beside HAPI's figures.

    python -m benchmarks.api [--patients 1000 4000] [--seconds 8] [--json FILE] [--base URL --token T]

Without `--base` a gateway of this project is started as its users run it (`sundbro up`) on an empty folder; with it any
FHIR R4 server is measured, so that a peer can stand beside ours in the same hour. Server, database and driver share the
machine. Closed loop; every answer outside 2xx and 3xx is told. In the same run `bare` says what the machine gives at that
hour when nothing is done but to fetch and store bytes. HAPI's figures: HAPI FHIR JPA 8.8 with PostgreSQL on two
cores of this kind, 4 GB heap, the better of its settings.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.api import bare, mixes, population, shapes
from benchmarks.api.driver import Load, Server
from benchmarks.spine import Gateway, machine
from gateway.app import tokens
from gateway.store.embedded import running_url

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(os.environ.get("BENCH_FOLDER", ROOT / "build" / "bench"))
QUERIES = Path(os.environ.get("SUNDBRO_SHARED", ROOT.parent / "shared")) / (
    "corpus/mock-health-conformance/config/queries.yaml"
)
CONNECTIONS = (16, 32)
BESIDE = {
    "import_resources_per_second": (6000.0, 600.0),
    "reads_per_second": (10000.0, 870.0),
    "creates_per_second": (2500.0, 320.0),
    "crud_per_second": (3000.0, 410.0),
    "searches_per_second": (4000.0, 230.0),
    "bytes_per_resource": (2500.0, 9000.0),
    "memory_mb": (400.0, 1600.0),
    "start_seconds": (3.0, 70.0),
}
"""Figure → (aim, HAPI)."""


async def measure(
    server: Server, people: population.Population, patients: int, done: int, seconds: float
) -> dict[str, Any]:
    """Return the figures of one size of the population; `done` patients are in already."""
    found: dict[str, Any] = {}
    imported = await server.run(mixes.imports(people, patients, done), connections=4, seconds=3600)
    _told("import", imported)
    copies = [one for number in range(min(patients, 400)) for one in people.copy(number)]
    entries = sum(len(people.records[n % len(people.records)]) for n in range(done, patients))
    found["import_resources_per_second"] = entries / imported.seconds
    ids = [f"{one['resourceType']}/{one['id']}" for one in copies]
    wanted = shapes.own(people, patients)
    published = shapes.published(QUERIES, people, patients) if QUERIES.exists() else {}
    if not published:
        sys.stderr.write(f"{QUERIES} is not there: its shapes are left out\n")
    runs = {
        "reads": lambda: mixes.reads(ids, 1),
        "creates": lambda: mixes.creates(people, patients, 2),
        "crud": lambda: mixes.crud(people, patients, 3),
        "searches": lambda: shapes.requests(wanted, 4),
        "published": lambda: shapes.requests(published, 5),
    }
    for name, stream in runs.items():
        if name == "published" and not published:
            continue
        await server.run(stream(), connections=CONNECTIONS[0], seconds=min(2.0, seconds))  # warms
        for connections in CONNECTIONS:
            asked = mixes.prepared(stream(), seconds, 12_000 if name == "reads" else 5_000)
            load = await server.run(asked, connections=connections, seconds=seconds)
            _told(f"{name} at {connections}", load)
            best = max(load.rate, found.get(f"{name}_per_second", 0.0))
            found[f"{name}_per_second"] = best
            found |= {f"{name}_{q}_ms_at_{connections}": value for q, value in load.quantiles().items()}
            if connections == CONNECTIONS[0] and name in {"searches", "published"}:
                shape = "queries_" if name == "published" else ""  # some have the same names
                found |= {f"{shape}{kind}_p50_ms": load.quantiles(kind)["p50"] for kind in load.waits}
    return found


def _told(name: str, load: Load) -> None:
    sys.stderr.write(f"{name}: {load.rate:,.0f}/s {load.quantiles()} {load.failures() or ''}\n")


async def size_of(url: str) -> float:
    """Return the bytes of database for each current resource."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("checkpoint")
        total, count = await connection.fetchrow(
            "select (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'sundbro' and c.relkind = 'r'), (select count(*) from sundbro.resource where not deleted)"
        )
    finally:
        await connection.close()
    return float(total) / max(1, count)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--base")
    parser.add_argument("--token", default="")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    people = population.make(KEPT)
    found: dict[str, Any] = {"machine": machine()}
    with tempfile.TemporaryDirectory(prefix="sundbro-bench-") as folder:
        gateway = None
        base, token = given.base, given.token
        if not base:
            gateway = Gateway(Path(folder), "")
            found["start_seconds"] = await gateway.start()
            base = f"http://{gateway.settings.http}/fhir"
            token = tokens.mint(gateway.settings, "all", ["system/*.cruds"])
        server = Server(base, {"authorization": f"Bearer {token}"} if token else None)
        try:
            done = 0
            for patients in given.patients:
                found[f"{patients}"] = await measure(server, people, patients, done, given.seconds)
                done = patients
                if gateway:
                    figures = found[f"{patients}"]
                    figures["bytes_per_resource"] = await size_of(str(running_url(gateway.settings.data)))
                    figures["memory_mb"] = gateway.memory_mb()["pss"]
        finally:
            if gateway:
                gateway.stop()
    found["bare"] = await bare.measure(people, min(given.patients[0], 400), given.seconds)
    text = json.dumps(found, indent=1)
    if given.json:
        given.json.write_text(text)
    _table(found, given.patients)
    sys.stdout.write(text + "\n")


def _table(found: dict[str, Any], sizes: list[int]) -> None:
    table = Table(
        "figure",
        *(f"{size} patients" for size in sizes),
        "aim",
        "HAPI 8.8",
        "bare, same run",
        "ratio to aim",
        "to bare",
        title=str(found["machine"]),
    )
    for size in sizes:
        found[f"{size}"]["start_seconds"] = found.get("start_seconds", 0.0)
    for name in found[f"{sizes[-1]}"]:
        values = [found[f"{size}"].get(name, 0.0) for size in sizes]
        aim, hapi = BESIDE.get(name, (0.0, 0.0))
        first, last = values[0], values[-1]
        note = f"{last / aim:.2f}" if aim else f"×{last / first:.2f}" if name.endswith("p50_ms") and first else ""
        ceiling = found["bare"].get(name, 0.0)
        table.add_row(
            name,
            *(f"{v:,.1f}" for v in values),
            f"{aim:,.0f}" if aim else "",
            f"{hapi:,.0f}" if hapi else "",
            f"{ceiling:,.0f}" if ceiling else "",
            note,
            f"{last / ceiling:.2f}" if ceiling else "",
        )
    Console(width=160).print(table)


if __name__ == "__main__":
    uvloop.run(main())
