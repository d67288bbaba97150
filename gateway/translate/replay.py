"""Replay: what the present mapping makes of a feed's raw records, beside what the store holds, and how to get there.

All messages that made something are folded again in the order in which they were applied, every feed's, because feeds meet
in one Patient; only resources that the replayed feed has a part in are compared. What the log no longer keeps cannot be
judged: resources with a part in it are left alone and counted.

Nothing is written by `compare`. `carry_out` writes what differs as new versions, each only if the store still holds the
version that was compared; a resource that moved meanwhile is left out and counted, so that replay never undoes live data.
Memory: one content and merge state per resource of the feeds that take part.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from gateway.backbone.port import Backbone
from gateway.clock import instant
from gateway.fhir.body import prepare as serialise
from gateway.fhir.body import stamped
from gateway.fhir.merge import MergeState, merge
from gateway.model import Change, Delivered, Lane, RawMessage, Reason, Resource
from gateway.store.port import MessageRow, MessageState, Store
from gateway.translate.prepare import Prepared, prepare
from gateway.translate.registry import Station

JOURNAL_ROWS = 500


@dataclass(slots=True)
class Folded:
    """One resource as the present mapping gives it. `last` is the replayed feed's last message with a part in it."""

    resource: Resource
    state: MergeState
    lane: str
    event_time: str
    last: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One resource that would change. `elements` are the top-level elements that differ."""

    resource: str
    version: int
    elements: tuple[str, ...] = ()


@dataclass(slots=True)
class Comparison:
    """What a replay would do. `accepted`/`refused`: messages whose fate would change, with their receipts."""

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
    folded: dict[tuple[str, str], Folded] = field(default_factory=dict)
    prepared: dict[str, Prepared] = field(default_factory=dict)
    """The replayed feed's messages whose fate or resources change, by receipt: what `carry_out` writes again."""
