"""The two servers' figures as a table: ours, the peer's, and how many times better ours is."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

PLAIN = (
    "start_seconds",
    "import_resources_per_second",
    "bytes_per_resource",
    "memory_mb",
)
NOT_AVAILABLE = "n/a"


def show(found: dict[str, Any]) -> None:
    """Print it. Ratios above 1 are in our favour: rates by division, seconds, bytes and milliseconds the other way round."""
    ours, peer, cached = found["ours"], found["peer"], found["cached"]
    table = Table(
        "figure",
        "ours",
        found["peer_version"],
        "its cached searches",
        "times better",
        "than cached",
        title=f"{found['patients']} patients; {found['machine']}",
    )
    names = [name for name in ours if name not in PLAIN and not name.endswith("_failed")]
    for name in (*(name for name in PLAIN if name in ours), *names):
        failed = {who: found[who].get(f"{name.removesuffix('_p50_ms')}_failed") for who in ("ours", "peer", "cached")}
        mine, theirs = _told(ours.get(name), failed["ours"]), _told(peer.get(name), failed["peer"])
        again = _told(cached.get(name), failed["cached"]) if name in cached else ""
        first = better(name, ours.get(name), peer.get(name)) if not (failed["ours"] or failed["peer"]) else ""
        second = better(name, ours.get(name), cached.get(name)) if not (failed["ours"] or failed["cached"]) else ""
        table.add_row(name, mine, theirs, again, first, second)
    console = Console(width=150)
    console.print(table)
    for who in ("ours", "peer", "cached"):
        failures = {name.removesuffix("_failed"): int(n) for name, n in found[who].items() if name.endswith("_failed")}
        console.print(f"answers outside 2xx and 3xx, {who}: {failures or 'none'}")
    told = found["agreement"]
    console.print(f"answers compared: {told['alike']} of {told['questions']} alike")
    for shape, statuses in told["refused"].items():
        console.print(f"  {NOT_AVAILABLE}, left out of both mixes: {shape} {statuses}")
    for one in told["different"]:
        console.print(f"  different: {one['path']}: {'; '.join(one['how'])}")


def better(name: str, ours: float | None, peer: float | None) -> str:
    """Return how many times better ours is, as text; empty where there is nothing to compare."""
    if not ours or not peer:
        return ""
    return f"{ours / peer if name.endswith('_per_second') else peer / ours:.2f}"


def _told(value: float | None, failed: float | None) -> str:
    if value is None:
        return ""
    return f"{NOT_AVAILABLE} ({failed:.0f} refused)" if failed else f"{value:,.1f}"
