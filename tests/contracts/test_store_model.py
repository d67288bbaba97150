"""`apply` against a model of thirty lines: whatever comes, in whatever batches, the store ends where the model ends."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
from dataclasses import dataclass, field
from typing import Any

import hypothesis
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fhir.body import prepare
from gateway.fhir.merge import merge, put_state
from gateway.formats import json
from gateway.model import Change, Lane, Mode
from gateway.store.port import MessageState, MessageWrite, Write
from gateway.store.postgres.rows import line_of
from tests.contracts.stores import NOON, batch, message, observation, open_store, write

STORED, REJECTED, DUPLICATE = MessageState.STORED, MessageState.REJECTED, MessageState.DUPLICATE
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
_examples = itertools.count(1)


@dataclass
class Kept:
    """What the model keeps of a resource."""

    versions: list[Any] = field(default_factory=list)
    """Contents; None is a deletion."""
    precedence: tuple[Any, ...] | None = None
    state: dict[str, Any] | None = None
    feed: str = ""


class Model:
    def __init__(self) -> None:
        self.resources: dict[str, Kept] = {}
        self.letters: dict[tuple[str, str], str] = {}
        self.envelopes: dict[tuple[str, str], set[str]] = {}
        self.receipts: dict[str, MessageState] = {}

    def apply(self, given: MessageWrite) -> tuple[MessageState, list[tuple[str, int]]]:
        """Return the message's state and the versions it made."""
        if given.receipt in self.receipts:
            return self.receipts[given.receipt], []
        letters = self.envelopes.setdefault((given.feed, given.envelope or given.receipt), set())
        state, made = STORED, []
        if (given.feed, given.letter) in self.letters:
            state = DUPLICATE
        elif letters - {given.letter}:
            state = REJECTED
        else:
            self.letters[given.feed, given.letter] = given.receipt
            made = [(w.id, version) for w in given.writes if (version := self.write(given, w))]
        letters.add(given.letter)
        self.receipts[given.receipt] = state
        return state, made

    def write(self, given: MessageWrite, change: Write) -> int:
        kept = self.resources.setdefault(change.id, Kept())
        precedence = (change.event_time, given.received_at, line_of(given.feed, given.lane))
        older = kept.precedence is not None and precedence < kept.precedence
        current = kept.versions[-1] if kept.versions else None
        if not change.deleted and (change.mode is not Mode.PUT or kept.state is not None):
            if kept.versions and current is None and older:
                return 0
            state = None if current is None else kept.state
            if current is not None and state is None and kept.precedence is not None:
                state = put_state(*kept.precedence[:2], kept.feed)
            asked = Change(json.loads(change.body), change.mode, Lane(change.lane), change.event_time)
            content, kept.state, _ = merge(current, state, asked, feed=given.feed, received_at=given.received_at)
            if current is not None and prepare(content) == prepare(current):
                return 0
            kept.precedence = precedence if kept.precedence is None else max(kept.precedence, precedence)
        else:
            if older:
                return 0
            kept.precedence = precedence
            content = None if change.deleted else json.loads(change.body)
            if kept.versions and content == current:
                return 0
            kept.state, kept.feed = None, given.feed
        kept.versions.append(content)
        return len(kept.versions)


def content(body: bytes) -> Any:
    resource = json.loads(body)
    for name in ("versionId", "lastUpdated"):
        del resource["meta"][name]
    return resource


def one_write(names: str, modes: list[Mode]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "name": st.sampled_from(names),
            "mode": st.sampled_from(modes),
            "value": st.integers(1, 3),
            "minute": st.integers(0, 3),
            "deleted": st.sampled_from([False, False, False, True]) if modes == [Mode.PUT] else st.just(False),
            "note": st.booleans(),
        }
    )


anything = st.one_of(
    one_write("abc", [Mode.PUT]),
    one_write("cd", [Mode.MERGE, Mode.ENSURE, Mode.PUT]),
)
one_message = st.fixed_dictionaries(
    {
        "feed": st.sampled_from(["f1", "f2"]),
        "lane": st.sampled_from(["l1", "l2", ""]),
        "letter": st.integers(0, 6) | st.none(),
        "envelope": st.integers(0, 3) | st.none(),
        "second": st.integers(0, 2),
        "writes": st.lists(anything, max_size=4),
    }
)


def build(spec: dict[str, Any], mark: str) -> MessageWrite:
    writes = []
    for each in spec["writes"]:
        more = {"note": [{"text": "n"}]} if each["note"] else {}
        resource = observation(f"{mark}-{each['name']}", value=each["value"], **more)
        writes.append(write(resource, mode=each["mode"], minute=each["minute"], deleted=each["deleted"]))
    return message(
        *writes,
        feed=f"{mark}-{spec['feed']}",
        lane=spec["lane"],
        letter="" if spec.get("letter") is None else f"letter-{spec['letter']}",
        envelope=None if spec.get("envelope") is None else f"envelope-{spec['envelope']}",
        received_at=NOON + dt.timedelta(seconds=spec["second"]),
    )


@SETTINGS
@given(batches=st.lists(st.tuples(st.lists(one_message, min_size=1, max_size=5), st.booleans()), max_size=6))
async def test_the_store_ends_where_the_model_ends(store, batches):
    mark, model = f"m{next(_examples)}", Model()
    for specs, repeated in batches:
        made = batch(*(build(spec, mark) for spec in specs))
        for _ in range(2 if repeated else 1):
            applied = await store.apply(made)
            for each, result in zip(made.messages, applied.messages, strict=True):
                state, versions = model.apply(each)
                assert result.state is state
                assert [(name, version) for _, name, version in result.versions] == versions
    for name, kept in model.resources.items():
        page = await store.history("Observation", name, count=100)
        found = [None if version.deleted else content(version.body) for version in reversed(page.versions)]
        assert [f and prepare(f) for f in found] == [k and prepare(k) for k in kept.versions]
    for receipt, state in model.receipts.items():
        row = await store.message(receipt)
        assert row is not None
        assert row.state is state


orderly = st.fixed_dictionaries(
    {
        "feed": st.sampled_from(["f1", "f2"]),
        "lane": st.sampled_from(["l1", "l2"]),
        "second": st.integers(0, 1),
        "writes": st.lists(
            st.one_of(one_write("abc", [Mode.PUT]), one_write("de", [Mode.MERGE, Mode.ENSURE])), min_size=1, max_size=3
        ),
    }
)


def interleaved(lanes: dict[Any, list[Any]], picks: list[int]) -> list[Any]:
    """Mix the lanes' sequences into one; each keeps its order."""
    left = {key: list(items) for key, items in lanes.items()}
    mixed = []
    for pick in itertools.chain(picks, itertools.repeat(0)):
        open_lanes = [key for key, items in left.items() if items]
        if not open_lanes:
            return mixed
        mixed.append(left[open_lanes[pick % len(open_lanes)]].pop(0))
    return mixed


@SETTINGS
@given(
    specs=st.lists(orderly, min_size=2, max_size=10),
    picks=st.lists(st.integers(0, 3), max_size=20),
    size=st.integers(1, 5),
)
async def test_a_replay_that_keeps_the_order_of_each_lane_ends_in_the_same_content(store, specs, picks, size):
    lanes: dict[Any, list[Any]] = {}
    for spec in specs:
        lanes.setdefault((spec["feed"], spec["lane"]), []).append(spec)
    ends = []
    for order in (interleaved(lanes, []), interleaved(lanes, picks)):
        mark = f"x{next(_examples)}"
        # The same messages as far as precedence sees them: feeds keep their names, resources get names of their own.
        made = [build(spec, mark) for spec in order]
        for each, spec in zip(made, order, strict=True):
            each.feed = spec["feed"]
        for start in range(0, len(made), size):
            await store.apply(batch(*made[start : start + size]))
        names = sorted({w.id for each in made for w in each.writes})
        found = await asyncio.gather(*(store.read("Observation", name) for name in names))
        ends.append([None if v.deleted else v.body.split(b'"meta":', 1)[1].split(b"}", 1)[1] for v in found])
    assert ends[0] == ends[1]


async def test_a_replay_into_another_schema_gives_the_same_versions_byte_for_byte(store, database):
    sent = [
        message(
            write(observation(f"a{n % 7}", value=n), minute=n % 5, lane=f"l{n % 3}"),
            write({"resourceType": "Organization", "id": "o", f"x{n % 2}": n}, mode=Mode.MERGE, minute=n),
            lane=f"l{n % 3}",
            letter=f"L{n % 30}",
        )
        for n in range(40)
    ]
    for start in range(0, 40, 7):
        await store.apply(batch(*sent[start : start + 7]))
    async with open_store(database.url) as other:
        for start in range(0, 40, 3):
            await other.apply(batch(*sent[start : start + 3]))
        for name in [("Organization", "o"), *(("Observation", f"a{n}") for n in range(7))]:
            pages = [await each.history(*name, count=99) for each in (store, other)]
            bodies = [[version.body.partition(b'"lastUpdated":"')[0::2] for version in page.versions] for page in pages]
            stripped = [[(head, tail[24:]) for head, tail in each] for each in bodies]
            assert stripped[0] == stripped[1]
            assert [v.version for v in pages[0].versions] == [v.version for v in pages[1].versions]
        for each in sent:
            rows = [await each_store.message(each.receipt) for each_store in (store, other)]
            assert rows[0] is not None
            assert rows[1] is not None
            assert (rows[0].state, rows[0].resources) == (rows[1].state, rows[1].resources)
