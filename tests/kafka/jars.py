"""Where the broker's jars are, and plain words when there are none."""

from __future__ import annotations

from pathlib import Path

from tests import maven

FOLDER = Path(__file__).parent
LIB = FOLDER / "target" / "lib"
RESOLVE_SECONDS_MAX = 300


class NoBrokerError(Exception):
    """No real broker can be had on this machine; the text says why."""


def broker_jars() -> Path:
    """Return the folder of the broker's jars; Maven fetches them the first time (16 s), and when pom.xml changes."""
    try:
        return maven.built(FOLDER, seconds_max=RESOLVE_SECONDS_MAX)
    except maven.NoJavaError as failure:
        raise NoBrokerError(str(failure)) from failure


def kafka_version() -> str:
    """Return the version of the broker whose jars are here, or an empty string."""
    return next((jar.stem.removeprefix("kafka-clients-") for jar in LIB.glob("kafka-clients-*.jar")), "")
