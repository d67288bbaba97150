"""Processor time of a message, stage by stage, in one process and without a database: where a millisecond goes.

    python -m benchmarks.stages [--messages 400] [--rounds 7]

The least of some rounds, in microseconds a message: on a shared machine the least is what repeats. An ORU has 15 results,
a home message 100 readings. What the database, the log and the doors cost besides, benchmarks/spine.py measures.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from gateway.app import garbage
from gateway.app.feeds import stations_of
from gateway.clock import SystemClock
from gateway.fhir import body
from gateway.fhir.merge import merge
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Lane, Mode, Position, RawMessage
from gateway.search.index import extract
from gateway.settings import load
from gateway.store.postgres.inbox import Inbox
from gateway.store.postgres.plan import Plan
from gateway.translate.prepare import prepare
from gateway.translate.registry import Station
from synthetic import Citizens, Home, Laboratory

HERE = Position("raw", 0, 0)


def raws_of(station: Station, bodies: list[bytes], content_type: str, at: dt.datetime) -> list[RawMessage]:
    """Return what the doors would write down for these bodies."""
    name = station.feed.name
    pieces = [piece for body_ in bodies for piece in station.adapter.split(body_, content_type, station.feed)]
    return [
        RawMessage(name, f"receipt-{number}", piece.body, content_type, Lane("0" * 32), at, piece.control_id)
        for number, piece in enumerate(pieces)
    ]


def stages(station: Station, raws: list[RawMessage], content_type: str) -> dict[str, Callable[[], object]]:
    """Return each stage as a call that does all messages."""
    made = [station.adapter.translate(raw, station.context) for raw in raws]
    resources = [change.resource for translation in made for change in translation.changes]
    whole = [change.resource for translation in made for change in translation.changes if change.mode is Mode.PUT]
    arranged = [body.arranged(resource, "urn:sundbro:feed:stage") for resource in resources]
    written = [json.dumps(resource) for resource in arranged]
    writes = [prepare(raw, HERE, station).write for raw in raws]
    numbers = itertools.count(1)
    types: dict[str, int] = defaultdict(lambda: next(numbers))

    def plan() -> None:
        planned = Plan(Inbox(), {}, types, itertools.count(1), merge, extract, set(), SystemClock().now())
        for write in writes:
            planned.add(write)

    for write in writes:
        for one in write.writes:
            types[one.type]
    return {
        "split (door)": lambda: [station.adapter.split(raw.body, content_type, station.feed) for raw in raws],
        "translate": lambda: [station.adapter.translate(raw, station.context) for raw in raws],
        "validate": lambda: [validate(one, text) for one, text in zip(arranged, written, strict=True)],
        "write": lambda: [json.dumps(body.arranged(resource, "urn:sundbro:feed:stage")) for resource in resources],
        "digest": lambda: [body.content_digest(text) for text in written],
        "index": lambda: [extract(resource) for resource in whole],
        "all of this: prepare": lambda: [prepare(raw, HERE, station) for raw in raws],
        "plan, all new": plan,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    citizens, clock = Citizens(1, 4000), SystemClock()
    with tempfile.TemporaryDirectory() as folder:
        stations = stations_of(load({"SUNDBRO_DATA": str(Path(folder))}))
    results = list(itertools.islice(Laboratory(citizens, clock).results(), given.messages))
    batches = list(itertools.islice(Home(citizens, clock).batches(100), max(4, given.messages // 40)))
    feeds = {
        "ORU": ("hospital", results, "application/hl7-v2"),
        "100 home readings": ("home", batches, "application/json"),
    }
    table = Table("µs a message", *feeds)
    columns: dict[str, dict[str, float]] = {}
    for name, (feed, bodies, content_type) in feeds.items():
        raws = raws_of(stations[feed], bodies, content_type, clock.now())
        calls = stages(stations[feed], raws, content_type)
        garbage.collect_rarely()
        columns[name] = {stage: least(call, given.rounds) / len(raws) * 1e6 for stage, call in calls.items()}
    for stage in columns["ORU"]:
        table.add_row(stage, *(f"{columns[name][stage]:,.0f}" for name in feeds))
    Console().print(table)


def least(call: Callable[[], object], rounds: int) -> float:
    """Return the least processor time of some rounds, in seconds."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        call()
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    main()
