"""Whether a gateway did right by a load: nothing lost, nothing doubled, everything in order. Read from store and log themselves."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from gateway.formats import json
from gateway.model import Delivered
from tests.gateway import FEEDS, Gateway
from tests.load import Load
from tests.messages import CPR, phone

_STAMPS = re.compile(rb'"versionId":"\d+",|"lastUpdated":"[^"]+",?')
VERSIONS = """
    select t.name || '/' || v.id as name, v.version, v.message, v.lane, v.body
      from (select type, id, version, message, lane, body from resource
            union all select type, id, version, message, lane, body from version) v
      join resource_type t on t.code = v.type order by 1, 2
"""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a resource as the store has it."""

    name: str
    version: int
    message: int
    lane: str
    body: bytes


def content(body: bytes) -> bytes:
    """Return a stored body without what differs from version to version by itself."""
    return _STAMPS.sub(b"", body)


def versions_of(gateway: Gateway) -> dict[str, list[Stored]]:
    """Return every resource's versions, oldest first, by `Type/id`."""
    found: dict[str, list[Stored]] = defaultdict(list)
    for row in gateway.sql(VERSIONS):
        found[row["name"]].append(Stored(*row))
    return found


def judge(gateway: Gateway, load: Load) -> dict[str, int]:
    """Assert everything; return figures. The gateway must be drained."""
    sums = gateway.sums()
    figures = check_messages(gateway, load, sums)
    versions = versions_of(gateway)
    check_versions(versions)
    check_order(versions, load)
    return {**figures, "versions": sum(map(len, versions.values())), **check_stream(gateway, versions)}


def check_messages(gateway: Gateway, load: Load, sums: dict[str, dict[str, Any]]) -> dict[str, int]:
    """Every raw record was decided once; every acknowledged message is stored or rejected once; the sum adds up."""
    raw = gateway.records([f"raw.{feed}" for feed in FEEDS])
    rows = {row["receipt"]: row for row in gateway.sql("select * from message")}
    at = {one.position: _header(one, "ce_id") for one in raw}
    assert len(set(at.values())) == len(at), "a receipt stands twice in the log"
    assert {(row["topic"], row["part"], row["at_offset"]): row["receipt"] for row in rows.values()} == {
        (position.topic, position.partition, position.offset): receipt for position, receipt in at.items()
    }, "log and inbox differ"

    assert set(load.ledger.acknowledged) == set(load.messages)
    arrivals: dict[bytes, list[Any]] = defaultdict(list)
    for one in raw:
        arrivals[one.record.value].append(rows[_header(one, "ce_id")])
    assert set(arrivals) == set(load.messages), "the log has what nobody sent, or lacks what was acknowledged"
    for body, found in arrivals.items():
        counted = [row for row in found if row["state"] != "duplicate"]
        assert len(counted) == 1, "a message that counts twice, or not at all"
        (first,) = counted
        assert first["state"] == ("rejected" if body in load.rejected else "stored")
        assert {row["duplicate_of"] for row in found if row is not first} <= {first["seq"]}
    of_receipt = {_header(one, "ce_id"): one.record.value for one in raw}
    for receipt, body in load.ledger.receipts.items():
        assert of_receipt[receipt] == body, "a receipt for another message"

    expected = Counter(load.messages.values())
    for feed, one in sums.items():
        assert (one["difference"], one["waiting"], one["stopped"]) == (0, 0, ""), one
        assert one["stored"] + one["rejected"] == expected[feed], one
    assert sums["hospital"]["rejected"] == len(load.rejected)
    return {"messages": len(load.messages), "records": len(raw), "duplicates": len(raw) - len(load.messages)}


def check_versions(versions: dict[str, list[Stored]]) -> None:
    """Versions are 1, 2, … without gaps; no message made two of one resource; none says what the one before said."""
    for name, found in versions.items():
        assert [one.version for one in found] == list(range(1, len(found) + 1)), name
        for one in found:
            assert json.loads(one.body)["meta"]["versionId"] == str(one.version), name
        assert max(Counter(one.message for one in found).values()) == 1, f"{name}: a message made two versions"
        for before, after in pairwise(found):
            assert content(before.body) != content(after.body), f"{name}: version {after.version} changes nothing"


def check_order(versions: dict[str, list[Stored]], load: Load) -> None:
    """Numbered updates of a person are one version each, in the order in which they were sent; so are corrections."""
    persons: dict[str, str] = {}
    for name, found in versions.items():
        if name.startswith("Patient/"):
            identifiers = json.loads(found[-1].body)["identifier"]
            persons |= {one["value"]: name for one in identifiers if one["system"] == CPR}
    for cpr, count in load.updates.items():
        told = [json.loads(one.body).get("telecom") for one in versions[persons[cpr]]] if cpr in persons else []
        assert [each[0]["value"] for each in told if each] == [phone(n) for n in range(count)], "updates of a patient"
    weights = defaultdict(list)
    for name, found in versions.items():
        if name.startswith("Observation/"):
            bodies = [json.loads(one.body) for one in found]
            if bodies[0].get("valueQuantity", {}).get("code") == "kg":
                weights[bodies[0]["subject"]["reference"]] = [each["valueQuantity"]["value"] for each in bodies]
    for cpr, count in load.corrections.items():
        assert weights[persons[cpr]] == [Decimal(4000 + n) / 100 for n in range(count)], "corrections of a reading"


def check_stream(gateway: Gateway, versions: dict[str, list[Stored]]) -> dict[str, int]:
    """Every version, and every reply, is on its topic: the same bytes each time, first time in the order of commit."""
    heads = {row["part"]: row["seq"] for row in gateway.sql("select part, seq from outbox_head")}
    told = {
        row["part"]: row["next_offset"]
        for row in gateway.sql("select part, next_offset from position where grp = 'publish'")
    }
    assert {part: told.get(part, 0) for part in heads} == heads, "not everything is published"
    topics = sorted({f"fhir.{name.partition('/')[0]}" for name in versions})
    records = gateway.records([*topics, "reply.municipal"])
    first: dict[str, Delivered] = {}
    for one in records:
        same = first.setdefault(_header(one, "ce_id"), one)
        assert (same.record.key, same.record.value) == (one.record.key, one.record.value), (
            "an event id for another event"
        )
        assert same.position.partition == one.position.partition
    stored = {f"{one.name}/{one.version}": one for found in versions.values() for one in found}
    assert {name for name in first if not name.startswith("reply/")} == set(stored)
    for name, one in stored.items():
        assert first[name].record.value == one.body, name
        assert first[name].record.key == (one.lane or one.name).encode()

    numbers: dict[int, list[int]] = defaultdict(list)
    for one in first.values():
        partition, number = _seq(one)
        numbers[partition].append(number)
    for partition, head in heads.items():
        assert sorted(numbers[partition]) == list(range(1, head + 1)), f"outbox partition {partition} has gaps"
    _check_first_times(list(first.values()))
    return {"records out": len(records), "sent out again": len(records) - len(first)}


def _check_first_times(first: Sequence[Delivered]) -> None:
    """On each partition of a topic, what a reader sees for the first time comes in the order of commit of its lane."""
    last: dict[tuple[str, int, bytes], tuple[int, int]] = {}
    version: dict[str, int] = defaultdict(int)
    for one in first:
        lane = (one.position.topic, one.position.partition, one.record.key)
        assert _seq(one) > last.get(lane, (0, 0)), "a lane out of order"
        last[lane] = _seq(one)
        name, _, number = _header(one, "ce_id").rpartition("/")
        if not name.startswith("reply"):
            assert int(number) == version[name] + 1, f"{name} out of order"
            version[name] = int(number)


def _header(one: Delivered, name: str) -> str:
    return next(value.decode() for key, value in one.record.headers if key == name)


def _seq(one: Delivered) -> tuple[int, int]:
    partition, _, number = _header(one, "seq").partition(":")
    return int(partition), int(number)
