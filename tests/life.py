"""A real gateway as a process of its own, on a temporary folder, at free ports: started, stopped, killed, cleared away.

How one talks to it stands in tests/gateway.py. Nothing is left behind: what still runs at the end is killed, also after a
failure.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import httpx
import psutil

from gateway import settings as setting

ROOT = Path(__file__).resolve().parents[1]
HOST = "127.0.0.1"
READY_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 60.0


def free_port() -> int:
    """Return a port that nobody has, below those that the kernel hands out to clients: it stays ours through a restart."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(15_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((HOST, port))
            return port


class Life:
    """One gateway. `given` are more settings by their names in lower case (`partitions=4`)."""

    def __init__(self, folder: Path, *, kafka: str = "", database_url: str = "", **given: object) -> None:
        self.data = folder / "data"
        self.log = folder / "gateway.log"
        self.feeds = folder / "feeds"
        """More feed files, or changed ones; read at start, and by every command."""
        self.feeds.mkdir()
        self.database_url = database_url
        self.http = f"{HOST}:{free_port()}"
        self.mllp = f"{HOST}:{free_port()}"
        settings = {
            "data": self.data,
            "http": self.http,
            "mllp": self.mllp,
            "database_url": database_url,
            "kafka": kafka,
            "feeds": self.feeds,
            **given,
        }
        others = {name: value for name, value in os.environ.items() if not name.startswith(setting.PREFIX)}
        ours = {f"{setting.PREFIX}{name.upper()}": str(value) for name, value in settings.items()}
        self.environment = {**others, **ours, "PYTHONPATH": str(ROOT)}
        self.schema = str(given.get("database_schema", "sundbro"))
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None and self.running:
                self.stop()
        finally:
            self.remove()

    # --- life and death ---

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def settings(self) -> setting.Settings:
        return setting.load(self.environment)

    def change(self, **given: object) -> None:
        """Set other settings, by their names in lower case; the next start and every command read them."""
        self.environment |= {f"{setting.PREFIX}{name.upper()}": str(value) for name, value in given.items()}
        self.schema = str(given.get("database_schema", self.schema))

    def start(self) -> None:
        """Start, or start again on the same folder and addresses; return when it is ready."""
        self.launch()
        self.ready()

    def launch(self) -> None:
        assert not self.running
        self.data.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gateway.cli", "up"],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.data,
                start_new_session=True,
            )

    def ready(self) -> None:
        """Wait until /readyz says so."""
        until = time.monotonic() + READY_SECONDS_MAX
        while True:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://{self.http}/readyz", timeout=5).status_code == httpx.codes.OK:
                    return
            if not self.running:
                raise AssertionError(f"the gateway ended while starting: {self.last_words()}")
            if time.monotonic() > until:
                raise AssertionError(f"the gateway was not ready within {READY_SECONDS_MAX:.0f} s: {self.last_words()}")
            time.sleep(0.05)

    def stop(self) -> None:
        """SIGTERM, as an orchestrator does; it must end cleanly."""
        assert self._process is not None
        assert self.running, f"the gateway had ended by itself: {self.last_words()}"
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(STOP_SECONDS_MAX) == 0, self.last_words()
        left = self.family()
        assert not left, f"left behind: {[process.cmdline() for process in left]}"

    def kill(self) -> None:
        """SIGKILL to the gateway's process alone."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def kill_translator(self, chance: random.Random | None = None) -> None:
        """SIGKILL to one of the translator processes that run now; to none in the moment between death and restart."""
        if found := self.translators():
            _kill((chance or random).choice(found))

    def kill_postgres(self) -> None:
        """SIGKILL to the embedded PostgreSQL's first process; the gateway starts it again."""
        if pid := self.postgres_pid():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def kill_all(self) -> None:
        """SIGKILL to the gateway, its translators and PostgreSQL with its children: the machine's power went."""
        postmaster = self._postgres()
        for process in [*self.family(), *postmaster]:
            _kill(process)
        psutil.wait_procs(postmaster, timeout=10)
        self.kill()

    def translators(self) -> list[psutil.Process]:
        return [process for process in self.family() if "gateway.app.workers" in process.cmdline()]

    def postgres_pid(self) -> int:
        """Return the pid of the embedded PostgreSQL, 0 when none runs."""
        try:
            pid = int((self.data / "postgres" / "postmaster.pid").read_text().split(maxsplit=1)[0])
            return pid if str(self.data) in " ".join(psutil.Process(pid).cmdline()) else 0
        except (OSError, ValueError, IndexError, psutil.Error):
            return 0

    def _postgres(self) -> list[psutil.Process]:
        """Return PostgreSQL's first process and its children."""
        if not (pid := self.postgres_pid()):
            return []
        with contextlib.suppress(psutil.Error):
            postmaster = psutil.Process(pid)
            return [postmaster, *postmaster.children(recursive=True)]
        return []

    def family(self) -> list[psutil.Process]:
        """Return every process that runs on this data folder, PostgreSQL aside."""
        ours = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                module = "".join(process.cmdline()[2:3])  # python -m gateway.…
                if module.startswith("gateway.") and process.environ().get("SUNDBRO_DATA") == str(self.data):
                    ours.append(process)
        return ours

    def remove(self) -> None:
        """Kill what still runs, whatever state it is in, and remove the data."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        for process in self.family():
            _kill(process)
        left = self._postgres()
        for process in left:
            _kill(process)
        psutil.wait_procs(left, timeout=10)
        shutil.rmtree(self.data, ignore_errors=True)

    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        return "\n".join(lines[-25:]) or "(it said nothing)"

    def printed(self) -> str:
        """Return everything that the gateway and its translators wrote to their standard streams."""
        return self.log.read_text(errors="replace")


def _kill(process: psutil.Process) -> None:
    with contextlib.suppress(psutil.Error):
        process.kill()
