"""The spine, from door to searchable: messages/s, ACK and visible latency at half load, memory; both backbones.

    python -m benchmarks.spine [--seconds 10] [--skip-kafka] [--json FILE]

A gateway runs as its users run it (`sundbro up`, a process of its own and its translators); senders, PostgreSQL and, where
asked for, a real Kafka broker are on the same machine. A message counts when it is searchable: when the reading positions
have passed it, which they do in the transaction that makes its resources searchable.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import uvloop
from rich.console import Console
from rich.table import Table

from gateway.app import tokens
from gateway.clock import SystemClock
from gateway.formats import mllp
from gateway.observe import summary
from gateway.settings import load
from synthetic import Citizens, Home, Laboratory

ROOT = Path(__file__).resolve().parents[1]
CONNECTIONS = 16
WINDOW = 8
READINGS_A_BATCH = 100
CLAIMS = {
    "oru_messages_per_second": (
        "1,167/s Connexion, 486/s Iguana (vendors' claims); 30–70/s MessageFoundry on 4 vCPU (its CI)",
        700.0,
    ),
    "readings_per_second": ("aim 5,000/s", 5000.0),
    "ack_p99_ms": ("limit 30 ms", 30.0),
    "visible_p95_ms": ("limit 300 ms", 300.0),
    "memory_mb": ("limit 400 MB; HAPI FHIR 1,600 MB", 400.0),
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Gateway:
    """A running `sundbro up`."""

    def __init__(self, folder: Path, kafka: str) -> None:
        self.environment = {
            **os.environ,
            "SUNDBRO_DATA": str(folder),
            "SUNDBRO_HTTP": f"127.0.0.1:{free_port()}",
            "SUNDBRO_MLLP": f"127.0.0.1:{free_port()}",
            "SUNDBRO_LOG_LEVEL": "error",
            "SUNDBRO_KAFKA": kafka,
            "PYTHONPATH": str(ROOT),
        }
        self.settings = load({k: v for k, v in self.environment.items() if k.startswith("SUNDBRO_")})
        self.process: subprocess.Popen[bytes] | None = None

    async def start(self) -> float:
        started = time.perf_counter()
        self.process = await asyncio.to_thread(
            subprocess.Popen, [sys.executable, "-m", "gateway.cli", "up"], env=self.environment, cwd=ROOT
        )
        while True:
            try:
                if (await self.get("/readyz")).status_code == 200:
                    return time.perf_counter() - started
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.05)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=f"http://{self.settings.http}", timeout=30) as client:
            return await client.get(path)

    async def numbers(self) -> dict[str, summary.FeedNumbers]:
        return summary.by_feed((await self.get("/metrics")).text)

    def stop(self) -> None:
        if self.process:
            self.process.terminate()
            self.process.wait(60)

    def cpu_seconds(self) -> dict[str, float]:
        """Return processor time used so far, by part: what a message costs, however busy the machine is otherwise."""
        assert self.process
        postmaster = int((self.settings.data / "postgres" / "postmaster.pid").read_text().split()[0])
        parts = {"doors": [self.process.pid], "translators": [], "postgresql": [postmaster, *children(postmaster)]}
        parts["translators"] = [pid for pid in children(self.process.pid) if pid not in parts["postgresql"]]
        return {part: sum(cpu_of(pid) for pid in pids) for part, pids in parts.items()}

    def memory_mb(self) -> dict[str, float]:
        """Return resident (RSS) and proportional (PSS) memory of the gateway's processes, PostgreSQL and Kafka apart."""
        assert self.process
        found = {"rss": 0.0, "pss": 0.0, "processes": 0.0}
        for pid in [self.process.pid, *children(self.process.pid)]:
            try:
                text = Path(f"/proc/{pid}/smaps_rollup").read_text()
                if b"postgres" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
                    continue
            except OSError:
                continue
            values = {line.split(":")[0]: int(line.split()[1]) for line in text.splitlines()[1:]}
            found["rss"] += values["Rss"] / 1024
            found["pss"] += values["Pss"] / 1024
            found["processes"] += 1
        return found


def cpu_of(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12]) + int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


def children(pid: int) -> list[int]:
    try:
        found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:  # it has ended meanwhile
        return []
    return found + [grandchild for child in found for grandchild in children(child)]


class Sender(asyncio.Protocol):
    """One MLLP connection that keeps a window of messages under way and times each answer."""

    def __init__(self, messages: Iterator[bytes], window: int, pace: float = 0.0) -> None:
        self.messages, self.window, self.pace = messages, window, pace
        self.sent: list[float] = []
        self.waits: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.over = False

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        if self.pace:
            self.tick()
        else:
            for _ in range(self.window):
                self.send()

    def tick(self) -> None:
        if not self.over:
            self.send()
            asyncio.get_running_loop().call_later(self.pace, self.tick)

    def send(self) -> None:
        message = next(self.messages, None)
        if message is None:
            self.over = True
            if len(self.waits) == len(self.sent) and not self.done.done():
                self.done.set_result(None)
            return
        self.sent.append(time.perf_counter())
        self.transport.write(mllp.frame(message))

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        for _ in range(data.count(b"\x1c\r")):
            self.waits.append(now - self.sent[len(self.waits)])
            if not self.pace:
                self.send()
        if self.over and len(self.waits) == len(self.sent) and not self.done.done():
            self.done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("closed by the door"))


async def by_mllp(gateway: Gateway, messages: list[bytes], *, rate: float = 0.0) -> list[float]:
    """Send messages over several connections; return the waits for their answers, in seconds."""
    host, _, port = gateway.settings.mllp.rpartition(":")
    loop = asyncio.get_running_loop()
    senders = []
    for number in range(CONNECTIONS):
        share = iter(messages[number::CONNECTIONS])
        pace = CONNECTIONS / rate if rate else 0.0
        _, sender = await loop.create_connection(partial(Sender, share, WINDOW, pace), host, int(port))
        senders.append(sender)
        if rate:
            await asyncio.sleep(1 / rate)
    await asyncio.gather(*(sender.done for sender in senders))
    for sender in senders:
        sender.transport.close()
    return sorted(wait for sender in senders for wait in sender.waits)


async def by_http(gateway: Gateway, bodies: list[bytes]) -> None:
    headers = {"Authorization": f"Bearer {tokens.mint(gateway.settings, '', [])}", "Content-Type": "application/json"}
    queue = iter(bodies)
    async with httpx.AsyncClient(base_url=f"http://{gateway.settings.http}", headers=headers, timeout=60) as client:

        async def one() -> None:
            for body in queue:
                answer = await client.post("/ingest/home", content=body)
                answer.raise_for_status()

        await asyncio.gather(*(one() for _ in range(8)))


async def searchable(gateway: Gateway, feed: str, count: int) -> None:
    while (await gateway.numbers()).get(feed, summary.FeedNumbers()).stored < count:  # noqa: ASYNC110  /metrics is asked
        await asyncio.sleep(0.2)  # to write /metrics costs the door as much as some messages


def share_of(waits: list[float], share: float) -> float:
    return waits[min(len(waits) - 1, int(len(waits) * share))]


async def measure(kafka: str, seconds: float) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="sundbro-bench-") as folder:
        gateway = Gateway(Path(folder), kafka)
        result: dict[str, Any] = {"start_seconds": await gateway.start()}
        try:
            citizens, clock = Citizens(1, 4000), SystemClock()
            results = Laboratory(citizens, clock).results()
            stored = 0

            async def oru(count: int, rate: float = 0.0) -> tuple[float, list[float]]:
                nonlocal stored
                messages = list(islice(results, count))
                began = time.perf_counter()
                waits = await by_mllp(gateway, messages, rate=rate)
                stored += count
                await searchable(gateway, "hospital", stored)
                return time.perf_counter() - began, waits

            took, _ = await oru(600)  # warms caches and tells how much is seconds' worth
            count = max(600, int(600 / took * seconds))
            used = gateway.cpu_seconds()
            took, _ = await oru(count)
            result["oru_messages_per_second"] = count / took
            result |= {
                f"oru_cpu_ms_{part}": (now - used[part]) / count * 1000 for part, now in gateway.cpu_seconds().items()
            }
            result["oru_bytes"] = len(next(results))
            before = await gateway.numbers()
            half = result["oru_messages_per_second"] / 2
            _, waits = await oru(max(200, int(half * seconds)), rate=half)
            after = (await gateway.numbers())["hospital"]
            visible = {bound: n - before["hospital"].visible.get(bound, 0) for bound, n in after.visible.items()}
            measured = summary.FeedNumbers(visible=visible)
            result |= {f"ack_p{int(s * 100)}_ms": share_of(waits, s) * 1000 for s in (0.5, 0.95, 0.99)}
            result |= {
                f"visible_p{int(s * 100)}_ms": (measured.visible_seconds(s) or 0) * 1000 for s in (0.5, 0.95, 0.99)
            }
            bodies = list(islice(Home(citizens, clock).batches(READINGS_A_BATCH), max(20, int(20 * seconds))))
            used, began = gateway.cpu_seconds(), time.perf_counter()
            await by_http(gateway, bodies)
            await searchable(gateway, "home", len(bodies))
            result["readings_per_second"] = len(bodies) * READINGS_A_BATCH / (time.perf_counter() - began)
            spent = {part: now - used[part] for part, now in gateway.cpu_seconds().items()}
            result |= {f"reading_cpu_us_{part}": spent[part] / len(bodies) / READINGS_A_BATCH * 1e6 for part in spent}
            memory = gateway.memory_mb()
            result |= {"memory_mb": memory["pss"], "memory_rss_mb": memory["rss"], "processes": memory["processes"]}
        finally:
            gateway.stop()
        return result


def machine() -> dict[str, Any]:
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    model = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": int(memory.split()[1]) >> 20,
        "processor": model[0] if model else platform.machine(),
        "python": platform.python_version(),
        "load_at_start": os.getloadavg()[0],
    }


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--skip-kafka", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    found: dict[str, Any] = {"machine": machine(), "embedded": await measure("", given.seconds)}
    if not given.skip_kafka:
        from tests.kafka.broker import Broker

        async with Broker() as broker:
            found["kafka"] = await measure(broker.address, given.seconds)
    text = json.dumps(found, indent=1)
    if given.json:
        given.json.write_text(text)
    backbones = [name for name in ("embedded", "kafka") if name in found]
    table = Table(
        "figure", *backbones, "beside", *(f"ratio {name}" for name in backbones), title=f"spine: {found['machine']}"
    )
    for name in found["embedded"]:
        words, mark = CLAIMS.get(name, ("", 0.0))
        values = [found[backbone].get(name, 0.0) for backbone in backbones]
        table.add_row(name, *(f"{v:,.1f}" for v in values), words, *(f"{v / mark:.2f}" if mark else "" for v in values))
    Console(width=180).print(table)
    print(text)


if __name__ == "__main__":
    uvloop.run(main())
