"""`sundbro explain`, `feeds`, `rejected`: questions to the store and the backbone, answered as tables or JSON."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import orjson
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gateway.app.beside import beside
from gateway.app.feeds import station_of
from gateway.model import reasons_json
from gateway.operate.reconcile import Sum, reconcile
from gateway.settings import Settings
from gateway.store.port import MessageRow
from gateway.translate.explain import Explanation
from gateway.translate.explain import explain as explained

PIPED_WIDTH = 160
"""Columns of a table that goes into a pipe or a file: nothing is cut off there."""


def _json(value: Any) -> None:
    sys.stdout.buffer.write(orjson.dumps(value, default=str) + b"\n")
    sys.stdout.flush()


def message_json(row: MessageRow) -> dict[str, Any]:
    """Return a message as the commands print it."""
    return {
        "receipt": row.receipt,
        "feed": row.feed,
        "type": row.message_type,
        "state": row.state.value,
        "received": row.received_at.isoformat(),
        "raw": f"{row.source.topic}/{row.source.partition}/{row.source.offset}",
        "resources": list(row.resources),
        "reasons": reasons_json(row.reasons),
    }


async def explain(settings: Settings, resource: str, *, as_json: bool) -> int:
    """Print the lineage of one resource."""
    async with beside(settings) as parts:
        found = await explained(resource, store=parts.store, backbone=parts.backbone, stations=parts.stations)
    if as_json:
        _json({**dataclasses.asdict(found), "messages": [message_json(row) for row in found.messages]})
    else:
        _show_explanation(found)
    return 0


def _show_explanation(found: Explanation) -> None:
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    numbers = {row.receipt: str(number) for number, row in enumerate(found.messages, start=1)}
    table = Table(title=found.resource, title_justify="left", box=SIMPLE, pad_edge=False)
    for column in ("element", "rule", "official row", "source field"):
        table.add_column(column, overflow="fold")
    table.add_column("message", justify="right", no_wrap=True)
    for line in found.lines:
        table.add_row(line.element, line.rule, line.official, escape(line.source), numbers[line.receipt])
    console.print(table)
    for row in found.messages:
        raw = f"{row.source.topic}/{row.source.partition}/{row.source.offset}"
        console.print(
            f"message {numbers[row.receipt]}: {row.message_type or row.feed}, raw record {raw}, receipt {row.receipt}, "
            f"received {row.received_at:%Y-%m-%d %H:%M:%S} UTC, mapping {row.mapping}",
            soft_wrap=True,
        )
    if found.mapping_changed:
        console.print("the mapping has changed since: `sundbro replay FEED --dry-run` shows what would differ")
    if found.lost:
        console.print(f"{len(found.lost)} more messages made it whose raw records are not kept any more")


async def feeds(settings: Settings, *, resume: str, as_json: bool) -> int:
    """Print the sum of every feed; with `resume`, let a stopped one go on first."""
    async with beside(settings) as parts:
        if resume:
            station_of(parts.stations, resume)
            await parts.store.resume_feed(resume)
        sums = await reconcile(parts.topics, store=parts.store, backbone=parts.backbone, clock=parts.clock)
        titles = {name: station.feed for name, station in parts.stations.items()}
    if as_json:
        _json([{**dataclasses.asdict(one), "difference": one.difference} for one in sums])
        return 0
    table = Table(box=SIMPLE, pad_edge=False)
    table.add_column("feed", no_wrap=True)
    for column in ("format", "doors"):
        table.add_column(column, overflow="fold")
    for column in ("received", "stored", "rejected", "duplicate", "waiting", "lag s"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("state")
    for one in sums:
        feed = titles[one.feed]
        table.add_row(
            one.feed,
            feed.format,
            " ".join(feed.doors),
            *_numbers(one),
            f"stopped: {one.stopped}" if one.stopped else "running",
        )
    Console(width=None if sys.stdout.isatty() else PIPED_WIDTH).print(table)
    return 0


def _numbers(one: Sum) -> tuple[str, ...]:
    return (
        *(str(n) for n in (one.received, one.stored, one.rejected, one.duplicate, one.waiting)),
        f"{one.lag_seconds:.1f}",
    )


async def rejected(settings: Settings, feed: str, *, count: int, raw: str) -> int:
    """Print rejected messages of a feed, newest first; or the raw bytes of one of them."""
    async with beside(settings) as parts:
        station_of(parts.stations, feed)
        if raw:
            row = await parts.store.message(raw)
            delivered = await parts.backbone.read(row.source) if row and row.feed == feed else None
            if delivered is None:
                sys.stderr.write("no such message, or its raw record is not kept any more\n")
                return 1
            sys.stdout.buffer.write(delivered.record.value)
            return 0
        for row in await parts.store.rejected(feed, count=count):
            _json(message_json(row))
    return 0
