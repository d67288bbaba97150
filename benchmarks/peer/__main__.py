"""The FHIR API beside HAPI FHIR JPA in one run: the same patients, the same questions, turn by turn on the same cores.

    python -m benchmarks.peer [--patients 400] [--seconds 5] [--warm 12] [--json FILE]

Both are started on empty folders, each on a PostgreSQL of its own with the same configuration, and both stay up; the one
that is not asked stands still (SIGSTOP). Figure by figure, ours first: what else the machine does in that minute hits both.
First some patients are imported, and all answers about them compared (`agreement.py`): a shape that either refuses is left
out of both mixes and told as n/a, a difference is told. A quarter of the patients then warms the import, the rest is counted.
Searches before writes: who creates faster would otherwise search more. The JVM is warmed for `--warm` seconds before each of
its figures, ours for two. The peer's searches are taken twice: fresh (`Cache-Control: no-cache`), and as it comes, when it
gives the results of a question asked within the last minute again; the measured questions are those of the warm-up, so that
this is its best.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.api import figures, population, shapes
from benchmarks.api.driver import Request, Server
from benchmarks.peer import agreement, table
from benchmarks.peer.hapi import Hapi
from benchmarks.peer.sides import Side
from benchmarks.spine import Gateway, machine
from gateway.app import tokens
from gateway.store.embedded import running_url
from tests.maven import NoJavaError

ORDER = ("searches", "published", "reads", "creates", "crud")
WARM_OURS_SECONDS = 2.0
COMPARED = 24
"""Patients, one of each kind, about whom all answers are compared before the others come."""
DRAWS = 4


def ours_of(gateway: Gateway) -> Side:
    """Return a started gateway as a side."""
    data = gateway.settings.data

    def roots() -> tuple[int, int]:
        assert gateway.process
        return gateway.process.pid, int((data / "postgres" / "postmaster.pid").read_text().split()[0])

    token = tokens.mint(gateway.settings, "all", ["system/*.cruds"])
    return Side(
        "ours",
        Server(f"http://{gateway.settings.http}/fhir", {"authorization": f"Bearer {token}"}),
        roots,
        lambda: running_url(data),
        "sundbro",
        "select count(*) from sundbro.resource where not deleted",
    )


def peer_of(hapi: Hapi) -> Side:
    """Return a started peer as a side."""
    count = "select count(*) from hfj_resource where res_deleted_at is null"
    return Side("peer", Server(hapi.base), lambda: hapi.pids, lambda: hapi.database, "public", count)


async def measure(ours: Side, peer: Side, people: population.Population, given: argparse.Namespace) -> dict[str, Any]:
    """Return {"ours": figures, "peer": figures, "cached": the peer's searches, "agreement": …}; both stand still meanwhile."""
    found: dict[str, Any] = {"ours": {}, "peer": {}, "cached": {}}
    patients, warmed = given.patients, max(COMPARED + 1, given.patients // 4)
    others = figures.published(people, patients)
    for done, upto in ((0, COMPARED), (COMPARED, warmed), (warmed, patients)):
        for side in (ours, peer):
            async with side.turn() as server:
                rate = await figures.imported(server, people, upto, done)
            found[side.name]["import_resources_per_second"] = rate  # the last one stays
        if not done:
            found["agreement"], answered = await agreed(ours, peer, people)
    for side in (ours, peer):
        async with side.turn():
            found[side.name]["bytes_per_resource"] = await side.settled()
    streams = figures.streams(people, patients, {name: others[name] for name in others if name in answered})
    for name in ORDER:
        if name in streams:
            await _figure(found, ours, peer, name, streams[name], given)
    for side in (ours, peer):
        found[side.name]["memory_mb"] = side.memory_mb()
    return found


async def _figure(
    found: dict[str, Any], ours: Side, peer: Side, name: str, stream: figures.Stream, given: argparse.Namespace
) -> None:
    async def taken(side: Side, server: Server, stream: figures.Stream, warm: float) -> dict[str, float]:
        sys.stderr.write(f"{side.name}: ")
        return await figures.figure(server, name, stream, given.seconds, warm=warm, spent=side.cpu_seconds)

    async with ours.turn() as server:
        found["ours"] |= await taken(ours, server, stream, WARM_OURS_SECONDS)
    async with peer.turn() as server:
        if name in {"searches", "published"}:
            found["peer"] |= await taken(peer, server, lambda: fresh(stream()), given.warm)
            found["cached"] |= await taken(peer, server, stream, given.warm)
        else:
            found["peer"] |= await taken(peer, server, stream, given.warm)


def fresh(stream: Iterator[Request]) -> Iterator[Request]:
    """Yield the same requests, the searches among them as such that want no remembered results.

    `metadata` stays as it is: HAPI would put its CapabilityStatement together anew, a second's work that nobody asks for.
    """
    for request in stream:
        headers = request.headers if request.path == "metadata" else {**request.headers, "cache-control": "no-cache"}
        yield dataclasses.replace(request, headers=headers)


async def agreed(ours: Side, peer: Side, people: population.Population) -> tuple[dict[str, Any], set[str]]:
    """Ask both the same of the first patients; return what is to be told, and which of queries.yaml's shapes both answer."""
    patients, others = COMPARED, figures.published(people, COMPARED)
    both = shapes.own(people, patients) | agreement.sorted_too(people, patients)
    both |= {f"queries_{name}": shape for name, shape in others.items()}
    async with ours.turn() as mine, peer.turn() as theirs:
        verdicts = await agreement.compare(mine, theirs, both, draws=DRAWS)
    refused = agreement.refused(verdicts)
    told: dict[str, Any] = {
        "questions": len(verdicts),
        "alike": sum(not one.differences and one.shape not in refused for one in verdicts),
        "refused": {name: {who: dict(statuses) for who, statuses in sides.items()} for name, sides in refused.items()},
        "different": [{"path": one.path, "how": one.differences} for one in verdicts if one.differences],
    }
    for one in told["different"]:
        sys.stderr.write(f"DIFFERENT ANSWERS to {one['path']}: {'; '.join(one['how'])}\n")
    return told, {name for name in others if f"queries_{name}" not in refused}


async def run(folder: Path, people: population.Population, given: argparse.Namespace) -> dict[str, Any]:
    """Start both, measure, stop both: whatever happens, in the order in which they can be stopped."""
    gateway, hapi = Gateway(folder / "ours", ""), Hapi(folder / "peer")
    await hapi.build()
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(gateway.stop)
        starts = {"ours": await gateway.start()}
        ours = ours_of(gateway)
        stack.callback(ours.resume)
        ours.pause()
        stack.push_async_callback(hapi.stop)
        starts["peer"] = await hapi.start()
        peer = peer_of(hapi)
        stack.callback(peer.resume)
        peer.pause()
        found = await measure(ours, peer, people, given)
        for name, seconds in starts.items():
            found[name]["start_seconds"] = seconds
        return found | {"peer_version": hapi.version}


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--patients", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=12.0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.patients < 2 * COMPARED:
        parser.error(f"--patients: at least {2 * COMPARED}")
    task = asyncio.current_task()
    assert task
    for signal_ in (signal.SIGINT, signal.SIGTERM):  # what stands still would outlive us
        asyncio.get_running_loop().add_signal_handler(signal_, task.cancel)
    people = population.make(figures.KEPT)
    found: dict[str, Any] = {"machine": machine(), "patients": given.patients}
    with tempfile.TemporaryDirectory(prefix="sundbro-peer-") as folder:
        found |= await run(Path(folder), people, given)
    table.show(found)
    text = json.dumps(found, indent=1)
    if given.json:
        given.json.write_text(text)
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    try:
        uvloop.run(main())
    except NoJavaError as failure:
        sys.exit(f"no peer to stand beside: {failure}")
    except asyncio.CancelledError:
        sys.exit("told to end: both are stopped")
