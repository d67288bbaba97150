"""What the store can do on this machine: `python -m benchmarks.store [--resources N]`.

Five figures, three beside a limit, in one run, on one embedded PostgreSQL with fsync on:
  copy    the same rows by a bare COPY into the same table with the same indexes: the limit
  apply   new Observations through the real `apply`, in transactions with a reading position
  read    concurrent reads by id through group fetch; beside it one query a read from a pool
  search  concurrent searches by patient and code, newest first; beside it one query a search from a pool
  size    bytes of database a resource, with its indexes, its history and its messages
Prints a table for people, then one JSON line.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import asyncpg

from gateway.backbone.port import partition_of
from gateway.fhir import body as bodies
from gateway.fhir.merge import merge
from gateway.model import Mode, Position, Resource
from gateway.search.query import Index, Query, ReferenceTerm, Sort, TokenTerm, reference, token
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.port import Advance, Batch, MessageWrite, Write
from gateway.store.postgres.rows import RESOURCE_COLUMNS, Precedence, Row
from gateway.store.postgres.store import PostgresStore

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
_NEWEST = (
    "select id, version, updated, body from resource where type = $1 and patient = $2 and code = $3"
    " and not deleted order by low desc nulls last, rid desc limit 21"
)


def observation(number: int, chance: random.Random) -> Write:
    patient, code = chance.randrange(16_000), min(59, int(chance.expovariate(0.1)))
    at = START + dt.timedelta(seconds=chance.randrange(150_000_000))
    resource: Resource = {
        "resourceType": "Observation",
        "id": f"{number:08d}{chance.getrandbits(90):018x}"[:26],
        "meta": {"source": "urn:sundbro:feed:hospital#r0000000"},
        "identifier": [{"system": "https://lab.example/results", "value": f"S{number}"}],
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}
        ],
        "code": {
            "coding": [
                {"system": "http://loinc.org", "code": f"{code}-1"},
                {"system": "urn:oid:1.2.208.176.2.1", "code": f"NPU{code:05d}"},
            ]
        },
        "subject": {"reference": f"Patient/p{patient}"},
        "effectiveDateTime": at.isoformat(),
        "performer": [{"reference": f"Organization/o{patient % 2000}"}],
        "valueQuantity": {
            "value": chance.randrange(1000),
            "unit": "mmol/L",
            "system": "http://unitsofmeasure.org",
            "code": "mmol/L",
        },
        "referenceRange": [{"low": {"value": 3, "unit": "mmol/L"}, "high": {"value": 6, "unit": "mmol/L"}}],
    }
    index = Index(
        patient=reference("patient", f"Patient/p{patient}"),
        code=token("code", None, f"{code}-1"),
        date_low=at,
        date_high=at + dt.timedelta(seconds=1),
        tokens=[
            token("code", "http://loinc.org", f"{code}-1"),
            token("code", "urn:oid:1.2.208.176.2.1", f"NPU{code:05d}"),
            token("code", None, f"NPU{code:05d}"),
            token("category", None, "laboratory"),
            token("category", "http://terminology.hl7.org/CodeSystem/observation-category", "laboratory"),
            token("status", None, "final"),
            token("status", "http://hl7.org/fhir/observation-status", "final"),
            token("identifier", "https://lab.example/results", f"S{number}"),
            token("identifier", None, f"S{number}"),
            reference("performer", f"Organization/o{patient % 2000}"),
        ],
    )
    body = bodies.prepare(resource)
    return Write(
        "Observation", resource["id"], Mode.PUT, body, bodies.content_digest(body), at, f"{patient:032x}", (), index
    )


def messages(count: int, per_message: int, seed: int) -> list[MessageWrite]:
    chance = random.Random(seed)
    return [
        MessageWrite(
            feed="hospital",
            receipt=f"s{seed}r{number:09d}",
            source=Position("raw.hospital", 0, number),
            received_at=START + dt.timedelta(microseconds=number),
            letter=f"s{seed}-{number}",
            control_id=f"s{seed}-{number}",
            lane=f"{number % 16_000:032x}",
            message_type="ORU^R01",
            writes=[observation(seed * 1_000_000 + number * per_message + each, chance) for each in range(per_message)],
        )
        for number in range(count)
    ]


def laboratory_reports(count: int, seed: int) -> list[MessageWrite]:
    """What a laboratory's messages look like: five results, and mentions of patient, hospital and physician."""
    given = messages(count, 5, seed)
    for number, message in enumerate(given):
        patient = number % 4000
        person = {
            "resourceType": "Patient",
            "id": f"p{patient}",
            "identifier": [{"system": "urn:test", "value": f"{patient}"}],
            "name": [{"family": "Test", "given": ["Anna", "B"]}],
            "gender": "female",
            "birthDate": "1948-12-25",
        }
        place = {
            "resourceType": "Organization",
            "id": "o1",
            "identifier": [{"system": "urn:sor", "value": "1"}],
            "name": "Lab",
        }
        physician = {"resourceType": "Practitioner", "id": f"d{number % 300}", "name": [{"family": "L"}]}
        for resource in (person, place, physician):
            body = bodies.prepare(resource)
            digest = bodies.content_digest(body)
            write = Write(
                str(resource["resourceType"]), str(resource["id"]), Mode.ENSURE, body, digest, message.received_at
            )
            message.writes.append(write)
    return given


async def bare_copy(connection: asyncpg.Connection[Any], given: list[MessageWrite], size: int) -> float:
    """The rows that apply would write into `resource`, and nothing else."""
    now = START
    records = []
    for number, write in enumerate(write for message in given for write in message.writes):
        row = Row(type=93, id=write.id, rid=-1 - number, precedence=Precedence(write.event_time, now, 0))
        row.next_version(body=write.body, digest=write.digest, lane=write.lane, index=write.index, message=0, now=now)
        records.append(row.record("Observation", row.index.tokens))
    began = time.perf_counter()
    for start in range(0, len(records), size):
        async with connection.transaction():
            await connection.copy_records_to_table(
                "resource", records=records[start : start + size], columns=RESOURCE_COLUMNS
            )
    return len(records) / (time.perf_counter() - began)


async def apply_all(store: PostgresStore, given: list[MessageWrite], per_batch: int) -> tuple[float, list[float]]:
    (lease,) = await store.claim("bench", "bench", [("raw.hospital", 0)], seconds=600)
    offset, seconds = lease.next_offset, []
    for number, message in enumerate(given):
        message.source = Position("raw.hospital", 0, offset + number)
    began = time.perf_counter()
    for start in range(0, len(given), per_batch):
        part = given[start : start + per_batch]
        advance = Advance("bench", "raw.hospital", 0, offset + start, offset + start + len(part), lease.epoch)
        at = time.perf_counter()
        await store.apply(Batch(part, (advance,)))
        seconds.append(time.perf_counter() - at)
    return sum(len(message.writes) for message in given) / (time.perf_counter() - began), seconds


async def small_writes(store: PostgresStore, given: list[MessageWrite], clients: int) -> tuple[float, list[float]]:
    seconds: list[float] = []
    waiting = iter(given)

    async def client() -> None:
        for message in waiting:
            at = time.perf_counter()
            await store.apply(Batch([message]))
            seconds.append(time.perf_counter() - at)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(given) / (time.perf_counter() - began), seconds


async def reads(read: Any, ids: list[str], clients: int, total: int) -> tuple[float, list[float]]:
    seconds: list[float] = []

    async def client(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(total // clients):
            at = time.perf_counter()
            assert await read("Observation", chance.choice(ids)) is not None
            seconds.append(time.perf_counter() - at)

    began = time.perf_counter()
    await asyncio.gather(*(client(seed) for seed in range(clients)))
    return len(seconds) / (time.perf_counter() - began), seconds


def percentile(seconds: list[float], share: float) -> float:
    return round(sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))] * 1000, 2)


async def measure(url: str, resources: int, per_message: int, per_batch: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def note(what: str, rate: float, seconds: list[float] | None = None) -> None:
        line: dict[str, Any] = {"what": what, "per_second": round(rate)}
        if seconds:
            line |= {
                "p50_ms": percentile(seconds, 0.5),
                "p99_ms": percentile(seconds, 0.99),
                "worst_ms": percentile(seconds, 1),
            }
        found.append(line)
        print(
            f"{what:62} {line['per_second']:>8,}/s",
            *(f"{name[:-3]} {line[name]} ms" for name in line if name.endswith("_ms")),
            flush=True,
        )

    def make(schema: str) -> PostgresStore:
        return PostgresStore(
            url,
            schema=schema,
            outbox_partition=lambda key: partition_of(key.encode(), 8),
            extract=lambda _: Index(),
            merge=merge,
        )

    limit = make("limit")
    await limit.start()
    connection = await asyncpg.connect(url, server_settings={"search_path": '"limit"'})
    given = messages(resources // per_message, per_message, 1)
    copied = await bare_copy(connection, given, per_message * per_batch)
    note(f"COPY into resource, {per_message * per_batch} rows a transaction", copied)
    await connection.close()
    await limit.stop()

    store = make("bench")
    await store.start()
    rate, seconds = await apply_all(store, given, per_batch)
    note(f"apply, {per_batch} messages of {per_message} a transaction (resources)", rate, seconds)
    found[-1]["of_limit"] = round(rate / copied, 2)
    rate, seconds = await apply_all(store, laboratory_reports(4000, 4), 100)
    note("apply, 100 laboratory reports (5 new, 3 mentioned) (resources)", rate, seconds)
    rate, seconds = await apply_all(store, messages(3000, 1, 3), 300)
    note("apply, 300 messages of 1 a transaction (messages)", rate, seconds)
    rate, seconds = await apply_all(store, messages(200, 1, 2), 1)
    note("apply, 1 message of 1 a transaction", rate, seconds)
    for clients in (1, 16, 64):
        rate, seconds = await small_writes(
            store, messages(150 * clients if clients > 1 else 200, 1, 10 + clients), clients
        )
        note(f"apply without position, {clients} writers (group commit)", rate, seconds)

    ids = [write.id for message in given for write in message.writes]
    for clients in (1, 16, 64):
        rate, seconds = await reads(store.read, ids, clients, 20_000 if clients > 1 else 2_000)
        note(f"read by id, group fetch, {clients} readers", rate, seconds)
    code = await _type_code(url)
    pool = await asyncpg.create_pool(url, min_size=8, max_size=8, server_settings={"search_path": "bench"})

    async def one(_: str, name: str) -> Any:
        return await pool.fetchrow(
            "select version, updated, body from resource where type = $1 and id = $2", code, name
        )

    rate, seconds = await reads(one, ids, 16, 10_000)
    note("read by id, one query a read from a pool, 16 readers", rate, seconds)
    asked = questions(given)
    for clients in (1, 16, 64):
        rate, seconds = await searches(store.search, asked[: 500 if clients == 1 else None], clients)
        note(f"search by patient and code, shared trips, {clients} callers", rate, seconds)

    async def alone(query: Query) -> Any:
        patient, code_term = query.terms
        assert isinstance(patient, ReferenceTerm)
        assert isinstance(code_term, TokenTerm)
        return await pool.fetch(_NEWEST, code, patient.values[0], code_term.codes[0])

    rate, seconds = await searches(alone, asked, 16)
    note("search, one query a search from a pool, 16 callers", rate, seconds)
    await pool.close()
    await store.stop()
    found.append({"what": "bytes a resource", **await sizes(url)})
    print(*(f"{name} {value}" for name, value in found[-1].items()))
    return found


def questions(given: list[MessageWrite]) -> list[Query]:
    asked = [write.index for message in given[:2000] for write in message.writes]
    return [
        Query(
            "Observation",
            (ReferenceTerm("patient", (index.patient,)), TokenTerm("code", (index.code,), (index.code,))),
            sort=Sort.DATE_NEWEST,
        )
        for index in asked
        if index.patient is not None and index.code is not None
    ]


async def searches(search: Any, asked: list[Query], clients: int) -> tuple[float, list[float]]:
    seconds: list[float] = []
    waiting = iter(asked)

    async def client() -> None:
        for query in waiting:
            at = time.perf_counter()
            await search(query)
            seconds.append(time.perf_counter() - at)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    return len(seconds) / (time.perf_counter() - began), seconds


async def sizes(url: str) -> dict[str, int]:
    connection = await asyncpg.connect(url, server_settings={"search_path": "bench"})
    await connection.execute("vacuum analyze")
    resources = await connection.fetchval("select count(*) from resource")
    rows = await connection.fetch(
        "select c.relname as name, pg_total_relation_size(c.oid) as bytes from pg_class c"
        " where c.relnamespace = 'bench'::regnamespace and c.relkind = 'r' order by 2 desc limit 6"
    )
    whole = await connection.fetchval(
        "select sum(pg_total_relation_size(oid)) from pg_class where relnamespace = 'bench'::regnamespace and relkind = 'r'"
    )
    await connection.close()
    return {"all": round(whole / resources), **{row["name"]: round(row["bytes"] / resources) for row in rows}}


async def _type_code(url: str) -> int:
    connection = await asyncpg.connect(url, server_settings={"search_path": "bench"})
    code: int = await connection.fetchval("select code from resource_type where name = 'Observation'")
    await connection.close()
    return code


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resources", type=int, default=40_000)
    parser.add_argument("--per-message", type=int, default=5)
    parser.add_argument("--per-batch", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        postgres = EmbeddedPostgres(Path(folder) / "data")
        url = await postgres.start()
        try:
            found = await measure(url, given.resources, given.per_message, given.per_batch)
        finally:
            await postgres.stop()
    machine = {
        "cores": os.cpu_count(),
        "load": round(statistics.fmean(os.getloadavg()), 1),
        "python": platform.python_version(),
    }
    print(json.dumps({"benchmark": "store", "machine": machine, "results": found}))


if __name__ == "__main__":
    if sys.platform != "win32":
        import uvloop

        uvloop.run(main())
    else:
        asyncio.run(main())
