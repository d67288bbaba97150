"""`sundbro demo`: the whole gateway on this machine, fed through its own doors with synthetic citizens.

Nothing here is a shortcut: messages go in by MLLP and HTTP with tokens, as a hospital, a municipality and a vendor would
send them, and the sum in the end is taken from log, store and positions.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import uvloop
from rich.console import Console
from rich.live import Live
from rich.table import Table

from gateway import settings as setting
from gateway.app import ports, run
from gateway.app.roles import Running
from gateway.app.traffic import Traffic
from gateway.observe import metrics, summary
from gateway.operate.reconcile import Sum, reconcile
from gateway.settings import Settings

DRAIN_SECONDS_MAX = 60.0
REFRESH_SECONDS = 1.0
PLAIN_WIDTH = 140
"""Columns of the table where standard output is not a terminal."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the caller of the demo asked for. `seconds` 0: until Ctrl-C."""

    seconds: float
    citizens: int
    rate: float
    seed: int


def demo(environment: Mapping[str, str], wishes: Wishes) -> int:
    """Run the demo; return 0 when the sum adds up."""
    given = dict(environment)
    folder = None
    if "SUNDBRO_DATA" not in given and not given.get("SUNDBRO_SETTINGS"):
        folder = Path(tempfile.mkdtemp(prefix="sundbro-demo-"))
        given["SUNDBRO_DATA"] = str(folder)
    given.setdefault("SUNDBRO_LOG_LEVEL", "error")
    for name, default in (("SUNDBRO_HTTP", "127.0.0.1:8080"), ("SUNDBRO_MLLP", "127.0.0.1:2575")):
        if name not in given:
            given[name] = ports.free_or_other(default)
    os.environ.update({name: value for name, value in given.items() if name.startswith(setting.PREFIX)})
    try:
        return uvloop.run(_demo(setting.load(given), wishes))
    finally:
        if folder:
            shutil.rmtree(folder, ignore_errors=True)


async def _demo(settings: Settings, wishes: Wishes) -> int:
    console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    stop = run.stopping()
    started = time.perf_counter()
    console.print(f"starting in {settings.data} …")
    async with run.gateway(settings) as running:
        console.print(f"up after {time.perf_counter() - started:.1f} s")
        before = {one.feed: one.received for one in await _sums(running)}
        traffic = Traffic(settings, running.http, running.mllp, wishes.seed, wishes.citizens, wishes.rate)
        console.print(_addresses(settings, running.http), soft_wrap=True)
        sending = asyncio.create_task(traffic.run(stop), name="traffic")
        async with _shown(console, running):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), wishes.seconds or None)
            stop.set()
            await sending
            sums = await _drained(running)
        adds_up = _show_sums(console, sums, traffic, before)
    console.print("stopped")
    return 0 if adds_up else 1


@contextlib.asynccontextmanager
async def _shown(console: Console, running: Running) -> AsyncIterator[None]:
    """Show the table while the block runs: live on a terminal, a line of numbers every ten seconds elsewhere."""
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    began = time.monotonic()

    async def refresh() -> None:
        count = 0
        while True:
            sums = await _sums(running)
            table = _table(sums, time.monotonic() - began)
            if live:
                live.update(table, refresh=True)
            elif count % 10 == 9:  # noqa: PLR2004
                console.print(table)
            count += 1
            await asyncio.sleep(REFRESH_SECONDS)

    if live:
        live.start()
    task = asyncio.create_task(refresh())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        if live:
            live.stop()


async def _sums(running: Running) -> list[Sum]:
    parts = running.parts
    return await reconcile(parts.topics, store=parts.store, backbone=parts.backbone, clock=parts.clock)


async def _drained(running: Running) -> list[Sum]:
    """Return the sums when nothing waits any more, or after a minute as they are."""
    until = time.monotonic() + DRAIN_SECONDS_MAX
    while True:
        sums = await _sums(running)
        if not any(one.waiting for one in sums) or time.monotonic() > until:
            return sums
        await asyncio.sleep(0.2)


def _table(sums: list[Sum], seconds: float) -> Table:
    numbers = summary.by_feed(metrics.exposition().decode())
    table = Table(title=f"{seconds:.0f} s", title_justify="left")
    table.add_column("feed")
    for column in ("received", "translated", "rejected", "waiting", "ACK p99 ms", "visible p50 ms", "p95 ms", "p99 ms"):
        table.add_column(column, justify="right")
    for one in sums:
        feed = numbers.get(one.feed, summary.FeedNumbers())
        times = [feed.durable_seconds(0.99), *(feed.visible_seconds(share) for share in (0.5, 0.95, 0.99))]
        table.add_row(
            one.feed,
            str(one.received),
            str(feed.translated),
            str(one.rejected),
            str(one.waiting),
            *("–" if value is None else f"{value * 1000:.0f}" for value in times),
        )
    return table


def _show_sums(console: Console, sums: list[Sum], traffic: Traffic, before: Mapping[str, int]) -> bool:
    table = Table(title="received = stored + rejected + duplicates + waiting", title_justify="left")
    table.add_column("feed")
    for column in ("acknowledged", "received", "stored", "rejected", "duplicates", "waiting", "difference"):
        table.add_column(column, justify="right")
    adds_up = True
    for one in sums:
        acknowledged = traffic.acknowledged[one.feed]
        # An answer may be lost when everything stops; what stands in the log is never less than what was acknowledged.
        adds_up &= one.difference == 0 and one.received >= acknowledged + before[one.feed]
        table.add_row(
            one.feed,
            *(
                str(n)
                for n in (
                    acknowledged,
                    one.received,
                    one.stored,
                    one.rejected,
                    one.duplicate,
                    one.waiting,
                    one.difference,
                )
            ),
        )
    console.print(table)
    console.print("the sum adds up" if adds_up else "the sum does NOT add up")
    return adds_up


def _addresses(settings: Settings, http: str) -> str:
    command = Path(sys.argv[0]).resolve()
    lines = [
        f"export SUNDBRO_DATA={settings.data.resolve()} SUNDBRO_HTTP={settings.http} SUNDBRO_MLLP={settings.mllp}",
        f'H="Authorization: Bearer $({command} token)"',
        f"curl -s http://{http}/fhir/metadata",
        f"curl -s -H \"$H\" 'http://{http}/fhir/Observation?code=http://loinc.org|8867-4&_count=2'",
        f"curl -s -H \"$H\" 'http://{http}/fhir/Encounter?_sort=-_lastUpdated&_count=1'",
        f"curl -s -H \"$H\" 'http://{http}/fhir/Patient?_count=1'",
        f"curl -s http://{http}/readyz; curl -s http://{http}/metrics",
        f"{command} feeds",
    ]
    return "\n".join(["", "try it:", *lines, ""])
