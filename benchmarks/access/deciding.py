"""What a decision costs by itself, in µs of processor: no store, no network. p50 and p95 over single decisions."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from typing import Any

from gateway import access
from gateway.access import Actor, Assurance, Kind, Purpose, Read, Search
from gateway.access.policy import DEFAULT
from gateway.access.scopes import parse
from gateway.search import parse as search

ROUNDS = 20_000
AT = dt.datetime(2026, 6, 1, 12, tzinfo=dt.UTC)
SYSTEM = Actor("system", parse(["system/*.rs"]))
CITIZEN = Actor(
    "app",
    parse(["patient/*.rs"]),
    Kind.CITIZEN,
    Purpose.OWN,
    "subject",
    person="Patient/a",
    assurance=Assurance.SUBSTANTIAL,
    patient="Patient/a",
)
STAFF = Actor(
    "ehr",
    parse(["user/*.rs"]),
    Kind.STAFF,
    Purpose.TREATMENT,
    "subject",
    organisation="325421000016001",
    role="7170",
    authorisation="ABC12",
    assurance=Assurance.SUBSTANTIAL,
)
QUERY = search.parse("Observation", [("patient", "a"), ("code", "http://loinc.org|8480-6")])


def measure(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Return µs: for each sort of caller a read and a search decided, sight, reach and rules for the record included."""
    found = {}
    for name, actor in (("system", SYSTEM), ("citizen", CITIZEN), ("staff", STAFF)):
        intents = (
            ("read", Read("Observation", "x")),
            ("search", Search(QUERY)),
            ("read of a Provenance", Read("Provenance", "x")),
        )
        for kind, intent in intents:
            found[f"{kind}, {name}"] = _quantiles(_decided(actor, intent), rounds)
    return found


def _decided(actor: Actor, intent: Any) -> Callable[[], Any]:
    kind = intent.type if isinstance(intent, Read) else intent.query.type

    def decided() -> Any:
        permitted = access.decide(actor, intent)
        sight = permitted.sight(AT, DEFAULT)
        reach = sight.of(kind) if sight else None
        return reach, permitted.rules(AT, DEFAULT)

    return decided


def _quantiles(work: Callable[[], Any], rounds: int) -> dict[str, float]:
    waits = []
    for _ in range(rounds):
        begun = time.perf_counter_ns()
        work()
        waits.append(time.perf_counter_ns() - begun)
    waits.sort()
    return {f"p{share}_us": waits[rounds * share // 100] / 1000 for share in (50, 95)}
