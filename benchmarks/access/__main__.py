"""What access and audit cost, measured as the issue asks: the decision in µs; what the record adds to a read; the API's
rates with access and audit beside without.

    python -m benchmarks.access [--patients 200] [--seconds 2] [--rounds 3] [--json FILE]

Three servers on one database take turns within each round (`served`): on, unrecorded, off. So ratios are of the same
minute, whoever else is at the machine. Beside them, in the same run: what the disk takes to sync 8 kB, and what PostgreSQL
takes to commit one row. Processor time is of the server asked and of PostgreSQL, a request.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.access import deciding, served
from benchmarks.access.disk import Disk
from benchmarks.api import mixes, population, shapes
from benchmarks.api.driver import Request, Server
from benchmarks.spine import children, cpu_of, free_port, machine
from gateway.access import Actor, Assurance, Kind, Purpose
from gateway.access.scopes import Scopes
from gateway.app import parts as root
from gateway.app.feeds import id_secret
from gateway.fhir.ids import Ids
from gateway.identity.local import LocalIssuer
from gateway.observe import events
from gateway.settings import Settings
from gateway.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
KEPT = Path(os.environ.get("BENCH_FOLDER", ROOT / "build" / "bench"))
ADDED_AT, RATES_AT = (1, 16, 64), (16, 32, 64)
CITIZENS = 50
LIMITS = {"decision_us": 100.0, "record_p95_ms": 1.0, "lost_percent": 25.0}
"""The issue's."""


class Bench:
    """Servers of each mode over one database, their requests, and what was found."""

    def __init__(self, people: population.Population, patients: int, seconds: float) -> None:
        self.people, self.patients, self.seconds = people, patients, seconds
        self.servers: dict[str, Server] = {}
        """Asked as a system."""
        self.open_to: dict[str, Server] = {}
        """Asked as whom a request says."""
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.postmaster = 0
        self.found: dict[str, Any] = {}
        self.streams: dict[str, list[Request]] = {}

    async def open(self, data: Path, url: str) -> None:
        """Start the servers, and fill the store through one of them."""
        self.postmaster = int((data / "postgres" / "postmaster.pid").read_text().split()[0])
        settings = Settings(data=data, database_url=url)
        issuer = LocalIssuer.open(settings, ids=Ids(id_secret(settings)))
        headers = {"authorization": f"Bearer {issuer.issue('all', ['system/*.cruds'])}"}
        async with root.parts(settings, url, events.silent):  # the schema
            pass
        for mode in served.MODES:
            port = free_port()
            command = served.started(mode, data, url, port)
            self.processes[mode] = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT)
            self.servers[mode] = Server(f"http://127.0.0.1:{port}/fhir", headers)
            self.open_to[mode] = Server(f"http://127.0.0.1:{port}/fhir")
            await _up(f"http://127.0.0.1:{port}/fhir/metadata")
        load = await self.servers["off"].run(mixes.imports(self.people, self.patients), connections=4, seconds=3600)
        if load.failures():
            raise RuntimeError(f"the import failed: {load.failures()}")
        self.streams = self._streams(issuer)

    def _streams(self, issuer: LocalIssuer) -> dict[str, list[Request]]:
        """Return what is asked, by name: the API bench's own mixes as a system, and citizens about themselves."""
        reads, searches = int(self.seconds * 16_000), int(self.seconds * 6_000)  # half of them are more than are asked
        ids = [f"{one['resourceType']}/{one['id']}" for n in range(self.patients) for one in self.people.copy(n)]
        own = shapes.own(self.people, self.patients)
        return {
            "reads": list(_first(mixes.reads(ids, 1), reads)),
            "searches": list(_first(shapes.requests(own, 4), searches)),
            "citizens' reads": list(_first(self._citizens(issuer, searching=False), reads)),
            "citizens' searches": list(_first(self._citizens(issuer, searching=True), searches)),
        }

    def _citizens(self, issuer: LocalIssuer, *, searching: bool) -> Iterator[Request]:
        chance = random.Random(7)
        known = []
        for number in range(min(CITIZENS, self.patients)):
            record = self.people.copy(number)
            person = f"Patient/{record[0]['id']}"
            sure = Assurance.SUBSTANTIAL
            who = Actor("", Scopes(), Kind.CITIZEN, Purpose.OWN, f"citizen-{number}", person=person, assurance=sure)
            token = issuer.issue("app", ["patient/*.rs"], who=who)
            names = [f"{one['resourceType']}/{one['id']}" for one in record if one["resourceType"] in _OWN]
            known.append((record[0]["id"], names, {"authorization": f"Bearer {token}"}))
        codes = self.people.pools["observation_code"]
        while True:
            patient, names, headers = chance.choice(known)
            asked = chance.choice(names)
            if searching:
                code = chance.choice(codes).replace("|", "%7C")
                asked = chance.choice(
                    [
                        f"Observation?patient={patient}&code={code}&_sort=-date&_count=20",
                        f"Encounter?patient={patient}&_count=10",
                        f"Observation?patient={patient}&_include=Observation:encounter&_count=10",
                    ]
                )
            yield Request("GET", asked, headers=headers, kind="citizen")

    async def run(self, mode: str, name: str, connections: int) -> None:
        """Ask one server what a stream has, and keep what it took."""
        stream = self.streams[name]
        server = (self.open_to if stream[0].headers else self.servers)[mode]
        before = self._processor(mode)
        begin = random.SystemRandom().randrange(len(stream) // 2)
        load = await server.run(iter(stream[begin:]), connections=connections, seconds=self.seconds)
        if load.failures():
            raise RuntimeError(f"{name} of {mode} failed: {load.failures()}")
        kept = self.found.setdefault(f"{name} at {connections}", defaultdict(lambda: defaultdict(list)))[mode]
        kept["rate"].append(load.rate)
        kept["processor_us"].append((self._processor(mode) - before) / load.count * 1e6)
        kept["waits"] += [wait for waits in load.waits.values() for wait in waits]
        told = (await server.one(Request("GET", "waits"))).text() if mode == "on" else b"[]"
        kept["records"] += json.loads(told)

    def _processor(self, mode: str) -> float:
        found = [self.processes[mode].pid, self.postmaster, *children(self.postmaster)]
        return sum(cpu_of(pid) for pid in found)

    def stop(self) -> None:
        """End the servers."""
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            process.wait(30)


_OWN = frozenset({"Observation", "Encounter", "Condition", "Procedure", "MedicationRequest", "Immunization"})


def _first(stream: Iterator[Request], number: int) -> Iterator[Request]:
    return (one for one, _ in zip(stream, range(number), strict=False))


async def _up(address: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(600):
            try:
                await client.get(address)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise RuntimeError("a server did not start")


async def measure(bench: Bench, disk: Disk, rounds: int) -> dict[str, Any]:
    """Let the servers take turns; return the figures."""
    for name in bench.streams:
        for mode in served.MODES:
            await bench.run(mode, name, RATES_AT[0])  # warms
    bench.found.clear()
    for number in range(rounds):
        for name in bench.streams:
            added = ADDED_AT if name == "reads" else ()
            for connections in sorted({*added, *RATES_AT}):
                modes = served.MODES if connections in added else ("on", "off")
                for mode in modes if number % 2 == 0 else modes[::-1]:
                    await bench.run(mode, name, connections)
                await disk.measure(10)
    sync, commit = _quantiles(disk.syncs), _quantiles(disk.commits)
    return {
        "decision_us": deciding.measure(),
        "disk_ms": sync,
        "commit_ms": commit,
        "added_by_the_record": {
            str(connections): _added(bench.found[f"reads at {connections}"], sync, commit) for connections in ADDED_AT
        },
        "on_to_off": {
            name: _beside(modes) for name, modes in bench.found.items() if int(name.rpartition(" ")[2]) in RATES_AT
        },
    }


def _added(modes: Any, sync: dict[str, float], commit: dict[str, float]) -> dict[str, float]:
    """Return what the record adds to a read, by the difference of waits and by its own clock, beside disk and commit."""
    recorded, unrecorded = _quantiles(modes["on"]["waits"]), _quantiles(modes["unrecorded"]["waits"])
    own = _quantiles(modes["on"]["records"])
    made: dict[str, float] = {}
    for share in ("p50", "p95"):
        added = recorded[share] - unrecorded[share]
        made |= {f"{share}_ms": added, f"{share}_own_ms": own[share]}
        made |= {f"{share}_to_fdatasync": added / sync[share], f"{share}_to_commit": added / commit[share]}
    return made


def _beside(modes: Any) -> dict[str, float]:
    """Return the rate with access and audit to the rate without, and the same of processor time: of each pair of runs."""
    rates = [on / off for on, off in zip(modes["on"]["rate"], modes["off"]["rate"], strict=True)]
    costs = [on - off for on, off in zip(modes["on"]["processor_us"], modes["off"]["processor_us"], strict=True)]
    return {
        "on_per_second": statistics.median(modes["on"]["rate"]),
        "off_per_second": statistics.median(modes["off"]["rate"]),
        "rate": statistics.median(rates),
        "processor": statistics.median(modes["on"]["processor_us"]) / statistics.median(modes["off"]["processor_us"]),
        "processor_added_us": statistics.median(costs),
    }


def _quantiles(waits: list[float]) -> dict[str, float]:
    """Return p50 and p95 in ms."""
    ordered = sorted(waits)
    return {f"p{share}": ordered[len(ordered) * share // 100] * 1000 for share in (50, 95)}


def _told(found: dict[str, Any]) -> None:
    console = Console(width=150)
    table = Table("decision", "p50 µs", "p95 µs", title=f"limit {LIMITS['decision_us']:.0f} µs")
    for name, one in found["decision_us"].items():
        table.add_row(name, f"{one['p50_us']:.1f}", f"{one['p95_us']:.1f}")
    console.print(table)
    disk, commit = found["disk_ms"], found["commit_ms"]
    title = f"the record, added to a read, ms: limit {LIMITS['record_p95_ms']} at p95. "
    title += (
        f"fdatasync {disk['p50']:.2f}, {disk['p95']:.2f}; commit of one row {commit['p50']:.2f}, {commit['p95']:.2f}"
    )
    columns = ["p50_ms", "p95_ms", "p50_own_ms", "p95_own_ms"]
    columns += ["p50_to_fdatasync", "p95_to_fdatasync", "p50_to_commit", "p95_to_commit"]
    table = Table("connections", *columns, title=title)
    for connections, one in found["added_by_the_record"].items():
        table.add_row(connections, *(f"{one[column]:.2f}" for column in columns))
    console.print(table)
    title = f"with access and audit to without: limit {1 - LIMITS['lost_percent'] / 100:.2f}"
    table = Table("what", "on /s", "off /s", "rate", "processor", "added µs", title=title)
    for name, one in found["on_to_off"].items():
        cells = (one["on_per_second"], one["off_per_second"])
        more = (f"{one['rate']:.2f}", f"{one['processor']:.2f}", f"{one['processor_added_us']:.0f}")
        table.add_row(name, *(f"{cell:,.0f}" for cell in cells), *more)
    console.print(table)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    people = population.make(KEPT)
    with tempfile.TemporaryDirectory(prefix="sundbro-access-") as folder:
        data = Path(folder)
        embedded = EmbeddedPostgres(data)
        url = await embedded.start()
        bench = Bench(people, given.patients, given.seconds)
        try:
            await bench.open(data, url)
            connection = await asyncpg.connect(url)
            disk = Disk(data, connection)
            found = {"machine": machine(), **await measure(bench, disk, given.rounds)}
            disk.close()
            await connection.close()
        finally:
            bench.stop()
            await embedded.stop()
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))
    _told(found)
    sys.stdout.write(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    uvloop.run(main())
