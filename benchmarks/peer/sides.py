"""The two servers as the run sees them: asked one at a time, the other one standing still.

Two cores cannot hold both. A side that is not asked is stopped by SIGSTOP, its database too, so that it keeps its caches and
its compiled code, and uses no processor.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from benchmarks.api.driver import Server
from benchmarks.spine import children, cpu_of

SETTLES_SECONDS = 0.5


@dataclass(slots=True)
class Side:
    """One server with its database. `roots`: process ids of the server and of its postmaster."""

    name: str
    server: Server
    roots: Callable[[], tuple[int, int]]
    database: Callable[[], str]
    schema: str
    count: str
    """The statement that counts the current resources."""

    def processes(self) -> tuple[list[int], list[int]]:
        """Return the process ids of the server, and those of its database."""
        server, postmaster = self.roots()
        database = [postmaster, *_children(postmaster)]
        return [pid for pid in (server, *_children(server)) if pid not in database], database

    def pause(self) -> None:
        """Stop every process where it stands: whoever asks before whoever answers."""
        server, database = self.processes()
        _signal([*server, *database], signal.SIGSTOP)

    def resume(self) -> None:
        server, database = self.processes()
        _signal([*database, *server], signal.SIGCONT)

    @contextlib.asynccontextmanager
    async def turn(self) -> AsyncIterator[Server]:
        """Let it run, for as long as it is asked."""
        self.resume()
        await asyncio.sleep(SETTLES_SECONDS)
        try:
            yield self.server
        finally:
            self.pause()

    def cpu_seconds(self) -> float:
        """Return the processor time used so far, by the server and its database."""
        server, database = self.processes()
        return sum(cpu_of(pid) for pid in (*server, *database))

    def memory_mb(self) -> float:
        """Return the proportional memory (PSS) of the server, its database apart."""
        return sum(_pss_mb(pid) for pid in self.processes()[0])

    async def settled(self) -> float:
        """Vacuum, analyze and write a checkpoint; return the bytes of database for each current resource."""
        connection = await asyncpg.connect(self.database())
        try:
            await connection.execute("vacuum (analyze)")
            await connection.execute("checkpoint")
            size = (
                "select sum(pg_total_relation_size(c.oid)) from pg_class c join pg_namespace n on n.oid = c.relnamespace"
                f" where n.nspname = '{self.schema}' and c.relkind = 'r'"
            )
            return float(await connection.fetchval(size)) / max(1, int(await connection.fetchval(self.count)))
        finally:
            await connection.close()


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):  # one may end while they are counted
        return children(pid)
    return []


def _signal(pids: list[int], what: signal.Signals) -> None:
    for pid in filter(None, pids):  # 0 would be our own process group
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, what)


def _pss_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return 0.0
    return int({line.split(":")[0]: line.split()[1] for line in lines}["Pss"]) / 1024
