"""What a read and a search cost in processor time, shape by shape: of the server, and of PostgreSQL. However busy the
machine is. Of writes says that `benchmarks.api.writes`.

    python -m benchmarks.api.cost [--patients 400] [--seconds 3] [--only NAME …] [--spy FOLDER]

A gateway runs as its users run it. Each kind of request is asked alone, at sixteen connections, and what the processes
used meanwhile (/proc/PID/stat) is divided by the answers. `--spy` has py-spy (not a dependency) write a flame graph of
the server for each kind.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import uvloop

from benchmarks.api import mixes, population, shapes
from benchmarks.api.driver import Request, Server
from benchmarks.api.figures import KEPT, QUERIES
from benchmarks.spine import Gateway
from gateway.app import tokens

CONNECTIONS = 16
Stream = Callable[[], Iterator[Request]]


def _one(name: str, shape: shapes.Shape) -> Stream:
    return lambda: shapes.requests({name: shape}, 4)


def streams(people: population.Population, patients: int) -> dict[str, Stream]:
    """Return every kind of request by its name."""
    copies = [one for number in range(min(patients, 400)) for one in people.copy(number)]
    ids = [f"{one['resourceType']}/{one['id']}" for one in copies]
    found: dict[str, Stream] = {"reads": lambda: mixes.reads(ids, 1)}
    own = shapes.own(people, patients)
    found |= {name: _one(name, shape) for name, shape in own.items()}
    found["searches"] = lambda: shapes.requests(own, 4)
    if QUERIES.exists():
        published = shapes.published(QUERIES, people, patients)
        found |= {f"queries_{name}": _one(name, shape) for name, shape in published.items()}
    return found


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--spy", type=Path)
    given = parser.parse_args()
    people = population.make(KEPT)
    with tempfile.TemporaryDirectory(prefix="sundbro-cost-") as folder:
        gateway = Gateway(Path(folder), "")
        await gateway.start()
        try:
            token = tokens.mint(gateway.settings, "all", ["system/*.cruds"])
            server = Server(f"http://{gateway.settings.http}/fhir", {"authorization": f"Bearer {token}"})
            await _measured(gateway, server, "import", mixes.imports(people, given.patients), seconds=3600)
            for name, stream in streams(people, given.patients).items():
                if given.only and name not in given.only:
                    continue
                await server.run(stream(), connections=CONNECTIONS, seconds=0.5)  # warms
                asked = mixes.prepared(stream(), given.seconds, 12_000)
                spy = await asyncio.to_thread(_spy, gateway, given.spy, name, given.seconds) if given.spy else None
                await _measured(gateway, server, name, asked, seconds=given.seconds)
                if spy is not None:
                    await asyncio.to_thread(spy.wait)
        finally:
            gateway.stop()


async def _measured(gateway: Gateway, server: Server, name: str, asked: Iterator[Request], *, seconds: float) -> None:
    before = gateway.cpu_seconds()
    load = await server.run(asked, connections=4 if name == "import" else CONNECTIONS, seconds=seconds)
    used = {part: value - before[part] for part, value in gateway.cpu_seconds().items()}
    each = {part: value / max(1, load.count) * 1000 for part, value in used.items()}
    sys.stdout.write(
        f"{name:36} {load.rate:8,.0f}/s  server {each['doors'] + each['translators']:7.3f} ms"
        f"  postgresql {each['postgresql']:7.3f} ms  p50 {load.quantiles()['p50']:6.1f} ms  {load.failures() or ''}\n"
    )
    sys.stdout.flush()


def _spy(gateway: Gateway, folder: Path, name: str, seconds: float) -> subprocess.Popen[bytes]:
    assert gateway.process
    folder.mkdir(parents=True, exist_ok=True)
    asked = ["py-spy", "record", "-d", str(max(1, int(seconds))), "-r", "500", "--subprocesses"]
    asked += ["-f", "raw", "-o", str(folder / f"{name}.txt"), "-p", str(gateway.process.pid)]
    return subprocess.Popen(asked, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    uvloop.run(main())
