"""HAPI FHIR JPA R4 on a PostgreSQL of its own, started and stopped: the peer that the gateway is measured beside.

Built by Maven from the folder beside this file (`pom.xml`, `src/`); its store is put together in Composition.java. The
database is the gateway's: the same wheel, the same configuration file (fsync, synchronous commit, at most 1 GB of shared
buffers), but reached by TCP on the loopback, which the JDBC driver needs.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from pathlib import Path

import httpx

from benchmarks.spine import free_port
from gateway.store.embedded import EmbeddedPostgres
from gateway.store.folder import USER
from tests import maven

FOLDER = Path(__file__).parent
HEAP = "-Xmx4g"
START_SECONDS_MAX = 600.0
STOP_SECONDS_MAX = 60.0


class Hapi:
    """A running peer on an empty folder: `await start()`, use `base`, `await stop()`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database = EmbeddedPostgres(folder / "data")
        self._port, self._database_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def base(self) -> str:
        return f"http://127.0.0.1:{self._port}/fhir"

    @property
    def database(self) -> str:
        """The address of its database, for asyncpg."""
        return f"postgresql://{USER}@127.0.0.1:{self._database_port}/postgres"

    @property
    def pids(self) -> tuple[int, int]:
        """The process ids of the server and of its postmaster."""
        return (self._process.pid if self._process else 0), self._database.pid

    @property
    def version(self) -> str:
        """What was built, as "HAPI 8.8.0"."""
        found = (FOLDER / "target" / "lib").glob("hapi-fhir-jpaserver-base-*.jar")
        return next((f"HAPI {jar.stem.rpartition('-')[2]}" for jar in found), "HAPI")

    async def build(self) -> Path:
        """Fetch and compile what is not there yet; return the folder of the jars. Raises tests.maven.NoJavaError."""
        return await asyncio.to_thread(maven.built, FOLDER, "compile")

    async def start(self) -> float:
        """Start it on its empty database; return the seconds to the first answer, the making of its tables included.

        Raises tests.maven.NoJavaError where it cannot be built, RuntimeError when it ends or does not answer.
        """
        lib = await self.build()
        data = self._folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        (data / "postgresql.local.conf").write_text(
            f"listen_addresses = '127.0.0.1'\nport = {self._database_port}\ncluster_name = 'peer'\n"
        )
        began = time.perf_counter()
        await self._database.start()
        try:
            self._launch(lib)
            await self._answers(began)
        except BaseException:
            await self.stop()
            raise
        return time.perf_counter() - began

    async def stop(self) -> None:
        """End both. Safe to call twice."""
        if self._process is not None:
            self._process.terminate()
            try:
                await asyncio.to_thread(self._process.wait, STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                await asyncio.to_thread(self._process.wait)
            self._process = None
        await self._database.stop()

    def _launch(self, lib: Path) -> None:
        jdbc = f"jdbc:postgresql://127.0.0.1:{self._database_port}/postgres?user={USER}&reWriteBatchedInserts=true"
        options = [HEAP, f"-Dpeer.port={self._port}", f"-Dpeer.database={jdbc}"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["java", *options, "-cp", f"{lib.parent / 'classes'}:{lib}/*", "dk.sundbro.peer.Peer"],
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self._folder,
            )

    async def _answers(self, began: float) -> None:
        async with httpx.AsyncClient(timeout=60) as client:
            while True:
                if self._process is None or self._process.poll() is not None:
                    raise RuntimeError(f"the peer ended while starting: {self.last_words()}")
                with contextlib.suppress(httpx.TransportError):
                    if (await client.get(f"{self.base}/Patient?_count=1")).status_code == httpx.codes.OK:
                        return
                if time.perf_counter() - began > START_SECONDS_MAX:
                    raise RuntimeError(f"the peer does not answer after {START_SECONDS_MAX:.0f} s: {self.last_words()}")
                await asyncio.sleep(0.1)

    @property
    def log(self) -> Path:
        return self._folder / "peer.log"

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return " | ".join(lines[-8:]) or "(no log)"
