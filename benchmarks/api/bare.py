"""The way of a request with nothing on it: uvicorn, asyncpg and one table. What this machine can give at this hour.

No FHIR, no token, no decision, no validation, no version, no outbox: the ceiling that the gateway's figures are shown beside
in the same run, on the same two cores, with the same driver. Reads wait for one another as the gateway's do (one statement
for all that came meanwhile); a create is one insert and its commit; a search is one index walk and a page of bytes.

    python -m benchmarks.api.bare --database URL --port N     (the benchmark starts it so)
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import uvicorn

from benchmarks.api import mixes, shapes
from benchmarks.api.driver import Request, Server
from benchmarks.api.population import Population
from benchmarks.spine import free_port
from gateway.formats import json
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.postgres.trips import Trips

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 32
_SCHEMA = """
create table bare (id text primary key, patient text, code text, at timestamptz, body bytea not null);
create index bare_walk on bare (patient, code, at desc);
"""
_READ = "select asked.place, b.body from unnest($1::text[]) with ordinality as asked (id, place) join bare b using (id)"
_WALK = "select body from bare where patient = $1 and code = $2 order by at desc limit 20"
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class Bare:
    """The ASGI application."""

    def __init__(self, pool: asyncpg.Pool[Any]) -> None:
        self._pool = pool
        self._reads: Trips[str, bytes | None] = Trips(self._read, drivers=2, most=256)

    async def __call__(self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        """Answer a read, a create or a search."""
        path, query = scope["path"].removeprefix("/fhir/"), scope["query_string"].decode()
        status, body = 200, b""
        if scope["method"] == "POST":
            sent = await receive()
            await self._pool.execute("insert into bare values ($1, $2, $3, $4, $5)", *row(json.loads(sent["body"])))
            status = 201
        elif query:
            asked = dict(pair.split("=", 1) for pair in query.split("&"))
            found = await self._pool.fetch(_WALK, asked["patient"], asked["code"])
            body = b'{"resourceType":"Bundle","entry":[' + b",".join(one["body"] for one in found) + b"]}"
        else:
            body = await self._reads.take(path) or b""
            status = 200 if body else 404
        headers = [(b"content-type", b"application/fhir+json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _read(self, names: Any) -> list[bytes | None]:
        found: list[bytes | None] = [None] * len(names)
        for one in await self._pool.fetch(_READ, list(names)):
            found[one["place"] - 1] = one["body"]
        return found


def row(resource: dict[str, Any]) -> tuple[Any, ...]:
    """Return a resource as a row."""
    coding = (resource.get("code") or {}).get("coding", [{}])[0]
    at = resource.get("effectiveDateTime")
    name = f"{resource['resourceType']}/{resource.get('id') or uuid.uuid4()}"
    patient = (resource.get("subject") or {}).get("reference", "").rpartition("/")[2]
    return name, patient, coding.get("code"), dt.datetime.fromisoformat(at) if at else None, json.dumps(resource)


async def measure(people: Population, patients: int, seconds: float) -> dict[str, float]:
    """Return the bare figures on copies of `patients` patients: reads, creates and searches a second."""
    with tempfile.TemporaryDirectory(prefix="sundbro-bare-") as folder:
        database = EmbeddedPostgres(Path(folder))
        url = await database.start()
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.api.bare", "--database", url, "--port", str(port)]
        process: subprocess.Popen[bytes] | None = None
        try:
            ids, asked = await _load(url, people, patients)
            process = await asyncio.to_thread(subprocess.Popen, command, cwd=ROOT)
            server = Server(f"http://127.0.0.1:{port}/fhir")
            await _up(f"http://127.0.0.1:{port}/fhir/{ids[0]}")
            walks: dict[str, shapes.Shape] = {
                "walk": lambda chance: "Observation?patient={}&code={}".format(*chance.choice(asked))
            }
            streams: dict[str, Callable[[], Iterator[Request]]] = {
                "reads": lambda: mixes.reads(ids, 1),
                "creates": lambda: mixes.creates(people, patients, 2),
                "searches": lambda: shapes.requests(walks, 3),
            }
            found: dict[str, float] = {}
            for name, stream in streams.items():
                prepared = mixes.prepared(stream(), seconds, 20_000 if name == "reads" else 10_000)
                load = await server.run(prepared, connections=CONNECTIONS, seconds=seconds)
                if failed := load.failures():
                    raise RuntimeError(f"the bare server failed: {failed}")
                found[f"{name}_per_second"] = load.rate
            return found
        finally:
            if process is not None:
                process.terminate()
                process.wait(30)
            await database.stop()


async def _load(url: str, people: Population, patients: int) -> tuple[list[str], list[tuple[str, str]]]:
    rows = [row(one) for number in range(patients) for one in people.copy(number)]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(_SCHEMA)
        await connection.copy_records_to_table("bare", records=rows)
        await connection.execute("analyze bare")
    finally:
        await connection.close()
    return [one[0] for one in rows], [(one[1], one[2]) for one in rows if one[1] and one[2] and one[3]]


async def _up(address: str) -> None:
    async with httpx.AsyncClient() as client:
        for _ in range(200):
            try:
                await client.get(address)
            except httpx.TransportError:
                await asyncio.sleep(0.05)
            else:
                return
    raise RuntimeError("the bare server did not start")


async def _serve(url: str, port: int) -> None:
    async with asyncpg.create_pool(url, min_size=4, max_size=4) as pool:
        config = uvicorn.Config(Bare(pool), port=port, log_config=None, access_log=False, lifespan="off", ws="none")
        await uvicorn.Server(config).serve()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database", required=True)
    parser.add_argument("--port", type=int, required=True)
    given = parser.parse_args()
    import uvloop

    uvloop.run(_serve(given.database, given.port))
