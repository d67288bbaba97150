"""Both backbones in one run: records a second in and out, latency of single appends and of waking a reader.

    python -m benchmarks.backbone [--records 50000] [--bytes 500] [--skip-kafka]

Prints a JSON line for machines and a table for people. PostgreSQL (fsync on) and the Kafka broker are started for the
run on this machine, with nothing tuned but what the tests tune; SUNDBRO_TEST_KAFKA names another broker.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import logging
import os
import platform
import random
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.table import Table

from gateway.backbone.port import TopicSpec
from gateway.model import Record
from tests.contracts.backbones import House, kafka_house, postgres_house
from tests.kafka.broker import Broker, existing
from tests.kafka.jars import NoBrokerError, kafka_version
from tests.postgres.server import Server

TOPIC, PARTITIONS, LANES = "raw.bench", 24, 997
ROWS = {
    "bulk_in_per_second": "records/s in, 8 callers, 100 a call",
    "single_in_per_second": "records/s in, 64 callers, 1 a call",
    "out_per_second": "records/s out, 1 reader",
    "append_p50_ms": "append at 50/s, p50 ms",
    "append_p99_ms": "append at 50/s, p99 ms",
    "visible_p50_ms": "append begun to delivered elsewhere at 50/s, p50 ms",
    "visible_p99_ms": "append begun to delivered elsewhere at 50/s, p99 ms",
}


def records(size: int) -> Iterator[Record]:
    """Yield readings as FHIR JSON, padded with text to `size` bytes."""
    chance = random.Random(20261122)
    words = [f"{chance.getrandbits(40):x}" for _ in range(400)]
    for n in itertools.count():
        lane = f"{chance.randrange(LANES):032x}"
        body = {
            "resourceType": "Observation",
            "id": f"{chance.getrandbits(128):032x}",
            "status": "final",
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": f"Patient/{lane}"},
            "effectiveDateTime": f"2026-11-22T09:{n % 60:02}:{n % 59:02}Z",
            "valueQuantity": {"value": chance.randint(40, 180), "unit": "/min"},
        }
        text = json.dumps(body).encode()
        while len(text) < size:
            text += b" " + chance.choice(words).encode()
        yield Record(
            TOPIC, lane.encode(), text[:size], (("ce_id", b"%d" % n), ("feed", b"home")), 1_795_000_000_000 + n
        )


async def timed(work: list[Any]) -> float:
    started = time.perf_counter()
    await asyncio.gather(*work)
    return time.perf_counter() - started


async def appender(client: Any, given: list[Record], step: int) -> None:
    for n in range(0, len(given), step):
        await client.append(given[n : n + step])


async def drain(client: Any, total: int) -> dict[tuple[str, int], int]:
    at = {(TOPIC, partition): 0 for partition in range(PARTITIONS)}
    seen = 0
    while seen < total:
        for one in await client.fetch(at, wait_seconds=5.0):
            at[TOPIC, one.position.partition] = one.position.offset + 1
            seen += 1
    return at


async def latencies(writer: Any, reader: Any, at: dict[tuple[str, int], int], given: list[Record]) -> list[list[float]]:
    """Append one record every 20 ms while another client reads; return (append, visible) latencies in ms, sorted."""
    begun: dict[bytes, float] = {}
    appended: list[float] = []
    visible: list[float] = []

    async def read() -> None:
        while len(visible) < len(given):
            for one in await reader.fetch(at, wait_seconds=5.0):
                at[TOPIC, one.position.partition] = one.position.offset + 1
                visible.append(1000 * (time.perf_counter() - begun[one.record.headers[0][1]]))

    reading = asyncio.ensure_future(read())
    for record in given:
        started = begun[record.headers[0][1]] = time.perf_counter()
        await writer.append([record])
        appended.append(1000 * (time.perf_counter() - started))
        await asyncio.sleep(max(0.0, 0.02 - (time.perf_counter() - started)))
    await asyncio.wait_for(reading, 30)
    return [sorted(appended), sorted(visible)]


async def measure(house: House, total: int, size: int) -> dict[str, float]:
    writer, reader = await house.client(), await house.client()
    await writer.ensure([TopicSpec(TOPIC, PARTITIONS)])
    source = records(size)
    bulk, single, slow = (list(itertools.islice(source, n)) for n in (total, total // 5, 200))
    bulk_seconds = await timed([appender(writer, bulk[n::8], 100) for n in range(8)])
    single_seconds = await timed([appender(writer, single[n::64], 1) for n in range(64)])
    started = time.perf_counter()
    at = await drain(reader, len(bulk) + len(single))
    out_seconds = time.perf_counter() - started
    appended, visible = await latencies(writer, reader, at, slow)
    return {
        "bulk_in_per_second": round(len(bulk) / bulk_seconds),
        "single_in_per_second": round(len(single) / single_seconds),
        "out_per_second": round((len(bulk) + len(single)) / out_seconds),
        "append_p50_ms": round(appended[len(appended) // 2], 2),
        "append_p99_ms": round(appended[int(len(appended) * 0.99)], 2),
        "visible_p50_ms": round(visible[len(visible) // 2], 2),
        "visible_p99_ms": round(visible[int(len(visible) * 0.99)], 2),
    }


async def on_postgres(total: int, size: int) -> dict[str, float]:
    server = Server()
    try:
        async with postgres_house(server.start()) as house:
            return await measure(house, total, size)
    finally:
        server.remove()


async def on_kafka(total: int, size: int) -> dict[str, float]:
    if existing():
        async with kafka_house(existing()) as house:
            return await measure(house, total, size)
    async with Broker() as broker, kafka_house(broker.address) as house:
        return await measure(house, total, size)


async def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--records", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=500)
    parser.add_argument("--skip-kafka", action="store_true")
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    results: dict[str, dict[str, float] | str] = {"postgres": await on_postgres(given.records, given.bytes)}
    try:
        results["kafka"] = "not asked for" if given.skip_kafka else await on_kafka(given.records, given.bytes)
    except NoBrokerError as failure:
        results["kafka"] = f"not run: {failure}"
    machine = {"cpus": os.cpu_count(), "platform": platform.platform(), "python": platform.python_version()}
    setting = {"records": given.records, "bytes": given.bytes, "partitions": PARTITIONS, "kafka": kafka_version()}
    print(json.dumps({"benchmark": "backbone", "machine": machine, "setting": setting, "results": results}))
    table = Table(title=f"Backbone, {given.bytes}-byte records, {machine['cpus']} CPUs", title_justify="left")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    for key, words in ROWS.items():
        cells = [f"{one[key]:,}" if isinstance(one, dict) else one for one in results.values()]
        table.add_row(words, *cells)
    Console().print(table)


if __name__ == "__main__":
    asyncio.run(main())
