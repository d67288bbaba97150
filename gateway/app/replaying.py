"""`sundbro replay`: show what the present mapping would change, or bring the store to it."""

from __future__ import annotations

import dataclasses
import sys

import orjson
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from gateway.app.beside import beside
from gateway.app.feeds import station_of
from gateway.settings import Settings
from gateway.translate.replay import Comparison, compare
from gateway.translate.rewrite import Done, carry_out

SHOWN_MAX = 20


async def replay(settings: Settings, feed: str, *, dry_run: bool, as_json: bool) -> int:
    """Print what differs; without `dry_run`, write it. Returns 1 when live data moved under it: run it again then."""
    async with beside(settings) as parts:
        station_of(parts.stations, feed)
        total = sum(count.stored + count.rejected for count in await parts.store.counts())
        with Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress:
            task = progress.add_task(f"translating {feed} again", total=total)
            found = await compare(
                feed,
                store=parts.store,
                backbone=parts.backbone,
                stations=parts.stations,
                progress=lambda count: progress.advance(task, count),
            )
        done = None if dry_run else await carry_out(found, parts.store)
    if as_json:
        sys.stdout.buffer.write(orjson.dumps(_json(found, done)) + b"\n")
    else:
        _show(found, done)
    return 1 if done and done.moved else 0


def _json(found: Comparison, done: Done | None) -> dict[str, object]:
    told: dict[str, object] = {
        name: getattr(found, name)
        for name in ("feed", "messages", "lost", "unchanged", "left_alone", "accepted", "refused")
    }
    for name in ("added", "changed", "gone"):
        told[name] = [dataclasses.asdict(difference) for difference in getattr(found, name)]
    if done:
        told["done"] = dataclasses.asdict(done)
    return told


def _show(found: Comparison, done: Done | None) -> None:
    console = Console(soft_wrap=not sys.stdout.isatty())
    console.print(
        f"{found.feed}: {found.messages} messages; resources: {len(found.added)} added, {len(found.changed)} changed, "
        f"{len(found.gone)} gone, {found.unchanged} unchanged"
    )
    table = Table("", "resource", "version", "elements that differ")
    for mark, differences in (("+", found.added), ("~", found.changed), ("-", found.gone)):
        for one in differences[:SHOWN_MAX]:
            table.add_row(mark, one.resource, str(one.version), ", ".join(one.elements))
        if len(differences) > SHOWN_MAX:
            table.add_row(mark, f"and {len(differences) - SHOWN_MAX} more", "", "")
    if table.row_count:
        console.print(table)
    for words, receipts in (
        ("rejected before, good now", found.accepted),
        ("stored before, rejected now", found.refused),
    ):
        if receipts:
            console.print(f"{len(receipts)} messages {words}: {', '.join(receipts[:SHOWN_MAX])}")
    if found.lost or found.left_alone:
        console.print(
            f"{found.lost} raw records are not kept any more; {found.left_alone} resources with a part in them are left alone"
        )
    if done:
        console.print(
            f"written: {done.written} versions, {done.deleted} deletions, of {done.messages} messages"
            + (f"; {done.moved} resources moved meanwhile: run it again" if done.moved else "")
        )
