"""What Maven fetches and compiles for the tests and benchmarks: once for each pom.xml, and plain words where it cannot.

Not a cache of Maven's: it has its own. `target/` beside the pom is all that is written; `make clean` removes it.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

SECONDS_MAX = 600


class NoJavaError(Exception):
    """What runs on Java cannot be had on this machine; the text says why."""


def built(folder: Path, *goals: str, seconds_max: float = SECONDS_MAX) -> Path:
    """Return `folder`/target/lib, the jars of its pom.xml; `goals` (compile) are done before, when sources changed.

    Raises NoJavaError where Java or Maven are missing, or Maven fails.
    """
    if shutil.which("java") is None:
        raise NoJavaError("no `java` on this machine (Java 17 is needed)")
    lib = folder / "target" / "lib"
    wanted = _digest(folder)
    stamp = lib / "built.sha256"
    lib.mkdir(parents=True, exist_ok=True)
    with (lib.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs at once
        if not stamp.exists() or stamp.read_text() != wanted:
            _build(folder, lib, goals, seconds_max)
            stamp.write_text(wanted)
    return lib


def _digest(folder: Path) -> str:
    found = hashlib.sha256((folder / "pom.xml").read_bytes())
    for path in sorted((folder / "src").rglob("*")):
        if path.is_file():
            found.update(path.read_bytes())
    return found.hexdigest()


def _build(folder: Path, lib: Path, goals: tuple[str, ...], seconds_max: float) -> None:
    if shutil.which("mvn") is None:
        raise NoJavaError(f"no `mvn` on this machine, and nothing is built in {folder / 'target'}")
    for jar in lib.glob("*.jar"):
        jar.unlink()
    command = ["mvn", "-q", "-B", *goals, "dependency:copy-dependencies", f"-DoutputDirectory={lib}"]
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=seconds_max)
    except subprocess.CalledProcessError as failure:
        last = (failure.stdout + failure.stderr).decode(errors="replace").strip().splitlines()[:3]
        raise NoJavaError(f"Maven could not build {folder.name}: {' | '.join(last)}") from failure
    except subprocess.TimeoutExpired as failure:
        raise NoJavaError(f"Maven did not build {folder.name} within {seconds_max:.0f} s") from failure
