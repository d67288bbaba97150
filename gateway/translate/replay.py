"""Replay: what the present mapping makes of a feed's raw records, beside what the store holds, and how to get there.

All messages that made something are folded again in the order in which they were applied, every feed's, because feeds meet
in one Patient; only resources that the replayed feed has a part in are compared. What the log no longer keeps cannot be
judged, nor what the API wrote, which is in no raw record: resources with a part in either are left alone and counted.

Nothing is written by `compare`. `carry_out` writes what differs as new versions, each only if the store still holds the
version that was compared; a resource that moved meanwhile is left out and counted, so that a replay never undoes live data.
Memory: one content and merge state for each resource of the feeds that take part.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from gateway.backbone.port import Backbone
from gateway.clock import instant
from gateway.fhir.body import prepare as serialise
from gateway.fhir.body import stamped
from gateway.fhir.merge import MergeState, merge, put_state
from gateway.formats import json
from gateway.model import Change, Delivered, Mode, RawMessage, RejectionCode, Resource
from gateway.store.port import MessageRow, MessageState, Store, Version
from gateway.translate.prepare import Prepared, prepare
from gateway.translate.registry import Station

Key = tuple[str, str]
READ_MANY = 200


@dataclass(slots=True)
class Folded:
    """One resource as the present mapping gives it. `by` is the replayed feed's last receipt with a part in it."""

    resource: Resource
    state: MergeState | None
    event: tuple[dt.datetime, dt.datetime]
    feed: str
    lane: str
    by: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that would change: the version compared with (0: none), the top-level elements that differ."""

    resource: str
    version: int
    elements: tuple[str, ...] = ()


@dataclass(slots=True)
class Comparison:
    """What a replay would do. `accepted` and `refused` are receipts of messages whose fate would change; `remade` of those
    that stay stored and make other resources than before.
    """

    feed: str
    messages: int = 0
    lost: int = 0
    unchanged: int = 0
    left_alone: int = 0
    added: list[Difference] = field(default_factory=list)
    changed: list[Difference] = field(default_factory=list)
    gone: list[Difference] = field(default_factory=list)
    accepted: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    remade: list[str] = field(default_factory=list)
    provenances: dict[str, str] = field(default_factory=dict)
    """Of refused messages: the id of the Provenance that says what they made."""
    folded: dict[Key, Folded] = field(default_factory=dict)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    """The replayed feed's messages by receipt: what `carry_out` writes again when something of theirs differs."""


class Fold:
    """Folds messages, one after the other, into the contents that the store would end with."""

    def __init__(self, feed: str, stations: Mapping[str, Station]) -> None:
        self._stations = stations
        self.result = Comparison(feed)
        self.before: set[Key] = set()
        """What the replayed feed's messages made under the mappings they were translated with."""
        self.uncertain: set[Key] = set()
        """What messages made that the log no longer keeps, or whose feed is gone."""

    def add(self, row: MessageRow, delivered: Delivered | None) -> None:
        """Fold one message. Other feeds' messages count only for what they share with the replayed feed."""
        own = row.feed == self.result.feed
        made = {_key(name) for name in row.resources}
        station = self._stations.get(row.feed)
        self.result.messages += own
        if delivered is None or station is None:
            self.result.lost += own
            self.uncertain |= made
            return
        if any(reason.code is RejectionCode.ENVELOPE_REUSED for reason in row.reasons):
            return  # decided by the inbox, not by a mapping
        if own:
            self.before |= made
        prepared = prepare(RawMessage.from_record(delivered.record), row.source, station, replay=True)
        if own:
            self._fate(row, prepared)
        for change in prepared.translation.changes if prepared.write.writes else []:
            key = (change.resource["resourceType"], change.resource["id"])
            folded = self.result.folded[key] = _met(self.result.folded.get(key), change, row)
            folded.by = row.receipt if own else folded.by

    def _fate(self, row: MessageRow, prepared: Prepared) -> None:
        self.result.prepared[row.receipt] = prepared
        stored = bool(prepared.write.writes) or not prepared.write.reasons
        if stored and row.state is MessageState.REJECTED:
            self.result.accepted.append(row.receipt)
        if not stored and row.state is MessageState.STORED:
            self.result.refused.append(row.receipt)
            self.result.provenances[row.receipt] = row.provenance
        elif stored and set(prepared.made) != set(row.resources):
            self.result.remade.append(row.receipt)


async def compare(
    feed: str,
    *,
    store: Store,
    backbone: Backbone,
    stations: Mapping[str, Station],
    progress: Callable[[int], None] = lambda _: None,
) -> Comparison:
    """Return what replaying `feed` with the present mapping would change. `progress` is told each message folded."""
    fold = Fold(feed, stations)
    async for row in store.journal():
        fold.add(row, await backbone.read(row.source))
        progress(1)
    await _judge(fold, store)
    return fold.result


async def _judge(fold: Fold, store: Store) -> None:
    result = fold.result
    part_of_feed = fold.before | {key for key, folded in result.folded.items() if folded.by}
    for key in sorted(part_of_feed):
        if key in fold.uncertain:
            result.left_alone += 1
            continue
        current = await store.read(*key)
        folded = result.folded.get(key)
        alive = current is not None and not current.deleted
        name, version = "/".join(key), current.version if current else 0
        elements = _differing(folded, current) if folded is not None and current is not None and alive else ()
        if not elements and (folded is not None) == alive:
            result.unchanged += alive
        elif current is not None and await _written_by_api(current, store):
            result.left_alone += 1
        elif folded is None:
            result.gone.append(Difference(name, version))
        elif not alive:
            result.added.append(Difference(name, version))
        else:
            result.changed.append(Difference(name, version, elements))


async def _written_by_api(current: Version, store: Store) -> bool:
    """Say whether no message made one of the versions: what the API stated is in no raw record."""
    before: int | None = None
    while True:
        page = await store.history(current.type, current.id, count=READ_MANY, before=before)
        if any(not version.message for version in page.versions):
            return True
        if not page.more:
            return False
        before = page.versions[-1].version


def _differing(folded: Folded, current: Version) -> tuple[str, ...]:
    """Return the top-level elements in which the folded content differs from the stored one; () when equal byte for byte."""
    body = stamped(serialise(folded.resource), current.version, instant(current.last_updated))
    if body == current.body:
        return ()
    wanted, stored = json.loads(body), json.loads(current.body)
    differing = [name for name in {**stored, **wanted} if wanted.get(name) != stored.get(name)]
    return tuple(differing) or ("(order of elements)",)


def _met(known: Folded | None, change: Change, row: MessageRow) -> Folded:
    """Let one change meet what has been folded so far, as the store does."""
    event = (change.event_time or row.received_at, row.received_at)
    by, lane = (known.by, change.lane or known.lane) if known else ("", change.lane or "")
    if change.mode is Mode.PUT and (known is None or known.state is None):
        if known is not None and event < known.event:
            return known
        return Folded(change.resource, None, event, row.feed, lane, by)
    stored, state = (known.resource, known.state) if known else (None, None)
    if known is not None and state is None:
        state = put_state(*known.event, known.feed)
    resource, state, _ = merge(stored, state, change, feed=row.feed, received_at=row.received_at)
    return Folded(resource, state, max(event, known.event) if known else event, row.feed, lane, by)


def _key(name: str) -> Key:
    resource_type, _, resource_id = name.partition("/")
    return resource_type, resource_id
