"""The embedded PostgreSQL: started in the gateway's data folder, watched, restarted when it dies, stopped cleanly.

Real PostgreSQL from a Python wheel, reached by a unix socket only. Not a connection pool, and not a fallback for
production: a database of one's own is named in SUNDBRO_DATABASE_URL.

A gateway killed with -9 leaves PostgreSQL running (it has a session of its own, so that Ctrl-C reaches the gateway
alone); the next gateway on the folder takes that server over. PostgreSQL killed with -9 is started again.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from gateway.errors import Misconfigured, Unavailable
from gateway.observe.events import PartUnavailable, Tell, silent
from gateway.store import folder as folders

_LOOK_SECONDS = 0.02
_WATCH_SECONDS = 0.1
_START_AGAIN_SECONDS = 0.25
_START_ATTEMPTS_MAX = 20
_RETRY_SECONDS = (0.1, 0.2, 0.5, 1.0, 2.0)


class EmbeddedPostgres:
    """One server on one data folder. `await start()`, use `url`, `await stop()`."""

    def __init__(
        self, data: Path, *, max_connections: int = 200, start_seconds_max: float = 60.0, tell: Tell = silent
    ) -> None:
        self._data = data.expanduser().absolute()
        self._max_connections = max_connections
        self._start_seconds_max = start_seconds_max
        self._tell = tell
        self._lock: folders.Lock | None = None
        self._folder: folders.Folder | None = None
        self._child: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self._watch: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """The server's address, for asyncpg and psql alike. RuntimeError before `start`."""
        if self._folder is None:
            raise RuntimeError("the embedded PostgreSQL has not been started")
        return self._folder.url

    @property
    def pid(self) -> int:
        """The process id of the running postmaster; another one after a restart."""
        return self._pid

    async def start(self) -> str:
        """Hold the folder, make the cluster where there is none, start or take over the server; return `url`.

        Raises Misconfigured (folder in use, other major version, cluster cannot be made) or Unavailable (the server
        does not come up; its last words are in the text).
        """
        await asyncio.to_thread(self._hold)
        assert self._lock is not None
        try:
            self._folder = await asyncio.to_thread(folders.prepare, self._data, max_connections=self._max_connections)
            await self._up(self._folder)
        except BaseException:
            self._lock.release()
            raise
        atexit.register(self._end_with_process)
        self._watch = asyncio.create_task(self._keep_alive(self._folder), name="embedded-postgres")
        return self._folder.url

    async def stop(self) -> None:
        """Fast shutdown: sessions are ended, a checkpoint is written. Safe to call twice."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
            self._watch = None
        for way, seconds in ((signal.SIGINT, 60.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0)):
            if not self._alive():
                break
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, way)
            await self._gone(seconds)
        atexit.unregister(self._end_with_process)
        self._pid, self._child = 0, None
        if self._lock is not None:
            self._lock.release()

    def _end_with_process(self) -> None:
        # A gateway that ends by an exception takes its server along; only a killed one leaves it behind.
        if self._alive():
            with contextlib.suppress(OSError):
                os.kill(self._pid, signal.SIGINT)

    async def _gone(self, seconds: float) -> None:
        for _ in range(int(seconds / _LOOK_SECONDS)):  # processes announce their end to nobody but their parent
            if not self._alive():
                return
            await asyncio.sleep(_LOOK_SECONDS)

    def _hold(self) -> None:
        try:
            self._data.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = folders.Lock(self._data)
            self._lock.take()
        except OSError as error:
            raise Misconfigured(f"the data folder {self._data} cannot be used: {error.strerror}") from error

    async def _up(self, folder: folders.Folder) -> None:
        """Return when a server of this folder takes connections, ours or one that outlived its gateway."""
        until, failures = time.monotonic() + self._start_seconds_max, 0
        while True:
            pid, status = _postmaster(folder)
            if pid and status == "stopping":  # told to stop by a gateway that then died
                self._pid = 0
            elif pid:
                if status == "ready":
                    self._pid = pid
                    if self._child is not None and self._child.pid != pid:
                        self._child = None
                    return
            elif self._child is None:
                self._child = _launch(folder)
            elif self._child.poll() is not None:
                # Backends of a killed server hold its shared memory for a moment; anything else will not mend itself.
                self._child, failures = None, failures + 1
                if failures >= _START_ATTEMPTS_MAX:
                    raise Unavailable(f"the embedded PostgreSQL does not start: {_last_words(folder)}")
                await asyncio.sleep(_START_AGAIN_SECONDS)
            if time.monotonic() > until:
                raise Unavailable(
                    f"the embedded PostgreSQL is not ready after {self._start_seconds_max:.0f} s: {_last_words(folder)}"
                )
            await asyncio.sleep(_LOOK_SECONDS)

    async def _keep_alive(self, folder: folders.Folder) -> None:
        attempt = 0
        while True:
            await asyncio.sleep(_WATCH_SECONDS)
            if self._alive():
                attempt = 0
                continue
            wait = _RETRY_SECONDS[min(attempt, len(_RETRY_SECONDS) - 1)]
            attempt += 1
            self._tell(PartUnavailable("embedded PostgreSQL", "died", wait))
            self._child = None
            with contextlib.suppress(Unavailable, OSError):
                await self._up(folder)
                continue
            await asyncio.sleep(wait)

    def _alive(self) -> bool:
        if not self._pid:
            return False
        if self._child is not None and self._child.pid == self._pid:
            return self._child.poll() is None
        return _exists(self._pid)


def running_url(data: Path) -> str:
    """Return the address of the server that runs on a data folder now, '' when none does: for commands beside a gateway."""
    cluster = data.expanduser().absolute() / "postgres"
    try:
        lines = (cluster / "postmaster.pid").read_text().splitlines()
        pid, socket_folder, status = int(lines[0]), Path(lines[4]), lines[7].strip()
    except (OSError, IndexError, ValueError):
        return ""
    if status != "ready" or not _exists(pid) or not _serves(pid, cluster):
        return ""
    return folders.url_of(socket_folder)


def _launch(folder: folders.Folder) -> subprocess.Popen[bytes]:
    with folder.start_log.open("wb") as log:
        return subprocess.Popen(  # noqa: S603
            [folder.binaries / "postgres", "-D", folder.cluster],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder.cluster,
            start_new_session=True,
            **folder.popen(),
        )


def _postmaster(folder: folders.Folder) -> tuple[int, str]:
    """Return (pid, status) of the server that runs on this cluster, or (0, '').

    postmaster.pid may be left from a killed server, and its number may meanwhile be somebody else's: in a container
    numbers start at 1 after every start. PostgreSQL itself would then refuse to start.
    """
    path = folder.cluster / "postmaster.pid"
    try:
        lines = path.read_text().splitlines()
        pid = int(lines[0])
    except (OSError, IndexError, ValueError):
        return 0, ""
    if not _exists(pid):
        return 0, ""
    if not _serves(pid, folder.cluster):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        return 0, ""
    return pid, lines[7].strip() if len(lines) > 7 else "starting"  # noqa: PLR2004


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:  # a zombie still has its number, and serves nobody
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return True
    return state != "Z"


def _serves(pid: int, cluster: Path) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # no /proc here (macOS)
        asked = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607
        return os.fsencode(cluster) in asked.stdout
    return os.fsencode(cluster) in command


def _last_words(folder: folders.Folder) -> str:
    try:
        lines = [line.strip() for line in folder.start_log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        lines = []
    return " / ".join(lines[-3:]) or "it said nothing"
