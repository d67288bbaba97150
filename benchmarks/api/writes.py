"""What a write costs: processor time of the gateway and of PostgreSQL for each create, update, patch, delete, imported resource.

    python -m benchmarks.api.writes [--patients 200] [--requests 6000] [--connections 16 32] [--json FILE]

Not rates, which depend on who else uses the machine: the time that the processes ran, however long they waited for a core. It
counts everything that a write causes while it is measured, the record of it and its publication among them. PostgreSQL is
told twice: what sessions spent, and with them checkpoints, the log's writer and autovacuum, which come in strokes.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import uvloop
from rich.console import Console
from rich.table import Table

from benchmarks.api import mixes, population
from benchmarks.api.driver import Request, Server
from benchmarks.api.figures import KEPT
from benchmarks.spine import Gateway, children, cpu_of, machine
from gateway.app import tokens
from gateway.formats import json as exact

QUIET_SECONDS = 1.0
"""Between two measurements: what was written is published meanwhile, and counts for those who wrote it."""
_BACKGROUND = ("autovacuum", "checkpointer", "background writer", "walwriter", "logical replication", "io worker")


def spent(gateway: Gateway) -> dict[str, float]:
    """Return processor seconds so far: `gateway`, `sessions` of PostgreSQL, `postgresql` as a whole."""
    assert gateway.process
    postmaster = int((gateway.settings.data / "postgres" / "postmaster.pid").read_text().split()[0])
    found = {"gateway": 0.0, "sessions": 0.0, "postgresql": cpu_of(postmaster)}
    below = {*children(postmaster)}
    for pid in [gateway.process.pid, *children(gateway.process.pid)]:
        if pid != postmaster and pid not in below:
            found["gateway"] += cpu_of(pid) if pid != gateway.process.pid else own(pid)
    for pid in below:
        used = cpu_of(pid)
        found["postgresql"] += used
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().decode()
        except OSError:
            continue
        if not any(word in words for word in _BACKGROUND):
            found["sessions"] += used
    return found


def own(pid: int) -> float:
    """Return a process's own seconds, without those of children that it waited for."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def updates(made: list[tuple[str, dict[str, Any]]], seed: int) -> Iterator[Request]:
    """Yield updates of Observations, each with another note, without end."""
    chance = random.Random(seed)
    for address, body in itertools.cycle(made):
        changed = {**body, "id": address.partition("/")[2], "note": [{"text": f"again, {chance.getrandbits(48):x}"}]}
        yield Request("PUT", address, exact.dumps(changed), kind="update", headers={"prefer": "return=minimal"})


def patches(made: list[tuple[str, dict[str, Any]]], seed: int) -> Iterator[Request]:
    """Yield JSON patches of Observations, without end."""
    chance = random.Random(seed)
    for address, _ in itertools.cycle(made):
        change = [{"op": "replace", "path": "/note/0/text", "value": f"patched, {chance.getrandbits(48):x}"}]
        headers = {"prefer": "return=minimal", "content-type": "application/json-patch+json"}
        yield Request("PATCH", address, json.dumps(change).encode(), kind="patch", headers=headers)


def deletes(made: list[tuple[str, dict[str, Any]]]) -> Iterator[Request]:
    """Yield deletions, each once."""
    return (Request("DELETE", address, kind="delete") for address, _ in made)


async def measure(
    gateway: Gateway, server: Server, people: population.Population, given: argparse.Namespace
) -> dict[str, dict[str, float]]:
    """Return milliseconds by kind of write; of an import, for each resource."""
    found: dict[str, dict[str, float]] = {}

    async def one(name: str, stream: Iterator[Request], connections: int, each: int = 1) -> None:
        requests = list(stream)
        await asyncio.sleep(QUIET_SECONDS)
        before = spent(gateway)
        load = await server.run(iter(requests), connections=connections, seconds=3600)
        await asyncio.sleep(QUIET_SECONDS)
        after = spent(gateway)
        if load.failures():
            sys.stderr.write(f"{name}: {load.failures()}\n")
        count = load.count * each if each > 0 else -each
        figures = {part: (after[part] - before[part]) * 1000 / count for part in before}
        found[name] = figures | {"rate": count / load.seconds} | load.quantiles()
        sys.stderr.write(f"{name}: " + " ".join(f"{part} {value:.3f}" for part, value in found[name].items()) + "\n")

    def resources(first: int, upto: int) -> int:
        return sum(len(people.records[n % len(people.records)]) for n in range(first, upto))

    await server.run(mixes.imports(people, 40), connections=4, seconds=3600)
    await one("import at 4", mixes.imports(people, given.patients, 40), 4, -resources(40, given.patients))
    for connections in given.connections:
        kept: list[tuple[str, dict[str, Any]]] = []

        def make(kept: list[tuple[str, dict[str, Any]]] = kept) -> Iterator[Request]:
            for body in mixes.observations(people, given.patients, 7):
                yield Request(
                    "POST", "Observation", exact.dumps(body), {"prefer": "return=minimal"}, "create", _keep(kept, body)
                )

        await one(f"create at {connections}", itertools.islice(make(), given.requests), connections)
        await one(f"update at {connections}", itertools.islice(updates(kept, 8), given.requests), connections)
        await one(f"patch at {connections}", itertools.islice(patches(kept, 9), given.requests), connections)
        await one(f"delete at {connections}", deletes(kept[: given.requests]), connections)
    return found


def _keep(kept: list[tuple[str, dict[str, Any]]], body: dict[str, Any]) -> Callable[[Any], None]:
    def keep(answer: Any) -> None:
        if answer.status == 201:
            address = "/".join(answer.headers["location"].partition("/_history/")[0].split("/")[-2:])
            kept.append((address, body))

    return keep


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=6000)
    parser.add_argument("--connections", type=int, nargs="+", default=[16, 32])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    people = population.make(KEPT)
    with tempfile.TemporaryDirectory(prefix="sundbro-bench-") as folder:
        gateway = Gateway(Path(folder), "")
        await gateway.start()
        token = tokens.mint(gateway.settings, "all", ["system/*.cruds"])
        server = Server(f"http://{gateway.settings.http}/fhir", {"authorization": f"Bearer {token}"})
        try:
            found = await measure(gateway, server, people, given)
        finally:
            gateway.stop()
    table = Table("write", "gateway / ms", "sessions / ms", "PostgreSQL / ms", "a second", title=str(machine()))
    for name, one in found.items():
        figures = [f"{one[part]:.3f}" for part in ("gateway", "sessions", "postgresql")]
        table.add_row(name, *figures, f"{one['rate']:,.0f}")
    Console(width=120).print(table)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    uvloop.run(main())
