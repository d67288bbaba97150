"""The FHIR API measured: import, reads, creates, CRUD, searches, at growing populations, beside HAPI's figures.

    python -m benchmarks.api [--patients 1000 4000] [--seconds 8] [--json FILE] [--base URL --token T]

Without `--base` a gateway of this project is started as its users run it (`sundbro up`) on an empty folder; with it any
FHIR R4 server is measured, so that a peer can stand beside ours in the same hour. Server, database and driver share the
machine. Closed loop; every answer outside 2xx and 3xx is told. In the same run `bare` says what the machine gives at that
hour when nothing is done but to fetch and store bytes. HAPI's figures: HAPI FHIR JPA 8.8 with PostgreSQL on two
cores of this kind, 4 GB heap, the better of its settings, in another hour; `benchmarks.peer` measures it in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import asyncpg
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.api import bare, figures, population
from benchmarks.api.driver import Server
from benchmarks.spine import Gateway, machine
from gateway.app import tokens
from gateway.store.embedded import running_url

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
    found: dict[str, Any] = {"import_resources_per_second": await figures.imported(server, people, patients, done)}
    others = figures.published(people, patients)
    for name, stream in figures.streams(people, patients, others).items():
        found |= await figures.figure(server, name, stream, seconds, warm=min(2.0, seconds))
    return found


async def size_of(url: str) -> float:
    """Return the bytes of database for each current resource."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("checkpoint")
        sizes = await connection.fetchrow(
            "select (select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
            " where n.nspname = 'sundbro' and c.relkind = 'r') as total,"
            " (select count(*) from sundbro.resource where not deleted) as count"
        )
    finally:
        await connection.close()
    assert sizes is not None
    return float(sizes["total"]) / max(1, int(sizes["count"]))


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, nargs="+", default=[1000, 4000])
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--base")
    parser.add_argument("--token", default="")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    people = population.make(figures.KEPT)
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
                    of_size = found[f"{patients}"]
                    of_size["bytes_per_resource"] = await size_of(str(running_url(gateway.settings.data)))
                    of_size["memory_mb"] = gateway.memory_mb()["pss"]
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
