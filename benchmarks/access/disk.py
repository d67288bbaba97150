"""What the disk and the database give by themselves, in the same run: a raw write and fdatasync, and a commit of one row."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

import asyncpg

BYTES = 8192
FILE_BYTES = 16 << 20
"""As a segment of the write-ahead log: written before, so that a sync writes data alone."""


class Disk:
    """Measures beside the runs, a little each time. `folder` is on the file system of the database."""

    def __init__(self, folder: Path, connection: asyncpg.Connection[Any]) -> None:
        self._file = os.open(folder / "fdatasync", os.O_CREAT | os.O_RDWR, 0o600)
        os.pwrite(self._file, bytes(FILE_BYTES), 0)
        os.fsync(self._file)
        self._at = 0
        self._connection = connection
        self.syncs: list[float] = []
        self.commits: list[float] = []

    async def measure(self, times: int) -> None:
        """Add so many of each."""
        await self._connection.execute("create table if not exists bare_commit (number int, body bytea)")
        for _ in range(times):
            self.syncs.append(await asyncio.to_thread(self._sync))
            begun = time.perf_counter()
            await self._connection.execute("insert into bare_commit values ($1, $2)", self._at, bytes(300))
            self.commits.append(time.perf_counter() - begun)

    def _sync(self) -> float:
        self._at = (self._at + BYTES) % FILE_BYTES
        begun = time.perf_counter()
        os.pwrite(self._file, os.urandom(BYTES), self._at)
        os.fdatasync(self._file)
        return time.perf_counter() - begun

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
