"""Where the broker's jars are, and plain words when there are none."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

FOLDER = Path(__file__).parent
LIB = FOLDER / "target" / "lib"
RESOLVE_SECONDS_MAX = 300


class NoBrokerError(Exception):
    """No real broker can be had on this machine; the text says why."""


def broker_jars() -> Path:
    """Return the folder of the broker's jars; Maven fetches them the first time (16 s), and when pom.xml changes."""
    if shutil.which("java") is None:
        raise NoBrokerError("no `java` on this machine (Java 17 is needed)")
    wanted = hashlib.sha256((FOLDER / "pom.xml").read_bytes()).hexdigest()
    stamp = LIB / "pom.sha256"
    LIB.mkdir(parents=True, exist_ok=True)
    with (LIB.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once
        if not stamp.exists() or stamp.read_text() != wanted:
            _resolve()
            stamp.write_text(wanted)
    return LIB


def _resolve() -> None:
    if shutil.which("mvn") is None:
        raise NoBrokerError("no `mvn` on this machine, and the broker's jars are not in tests/kafka/target/lib")
    for jar in LIB.glob("*.jar"):
        jar.unlink()
    command = ["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={LIB}"]
    try:
        subprocess.run(command, cwd=FOLDER, check=True, capture_output=True, timeout=RESOLVE_SECONDS_MAX)
    except subprocess.CalledProcessError as failure:
        last = (failure.stdout + failure.stderr).decode(errors="replace").strip().splitlines()[:3]
        raise NoBrokerError(f"Maven could not fetch the broker's jars: {' | '.join(last)}") from failure
    except subprocess.TimeoutExpired as failure:
        raise NoBrokerError(f"Maven did not fetch the broker's jars within {RESOLVE_SECONDS_MAX} s") from failure


def kafka_version() -> str:
    """Return the version of the broker whose jars are here, or an empty string."""
    return next((jar.stem.removeprefix("kafka-clients-") for jar in LIB.glob("kafka-clients-*.jar")), "")
