"""What the house asks of its store. One implementation: PostgreSQL, everywhere (`gateway/store/postgres`).

The one rule: **everything that changes a resource goes through `apply`, or `write` for the API**, and what belongs to one message
commits together or not at all: versions, search rows, provenance, rejection, reply, outbox, duplicate key, reading position.

The store is **not** a validator. It merges (`fhir.merge`), numbers versions, indexes, and refuses a worker whose epoch is old.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from gateway.model import Position, Reason
from gateway.search.query import Query
from gateway.search.reach import Sight
from gateway.store.batch import Advance, Applied, AppliedMessage, Batch, MessageState, MessageWrite, Write
from gateway.store.order import Order
from gateway.store.standing import Standing
from gateway.store.version import Condition, Edit, Edited, Moved, Page, Version

__all__ = [
    "Advance", "Applied", "AppliedMessage", "Batch", "Condition", "Edit", "Edited", "FeedCount", "Lease", "MessageRow",
    "MessageState", "MessageWrite", "Moved", "OutboxRow", "Page", "Store", "Version", "Write",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class MessageRow:
    """What the store remembers of a message: the answer to a receipt."""

    feed: str
    receipt: str
    state: MessageState
    source: Position
    received_at: dt.datetime
    stored_at: dt.datetime
    message_type: str
    resources: tuple[str, ...]
    reasons: tuple[Reason, ...]
    mapping: str
    duplicate_of: str = ""
    reply: bytes | None = None
    reply_content_type: str = ""
    provenance: str = ""  # id of its Provenance, where it made something


@dataclass(frozen=True, slots=True)
class FeedCount:
    """Messages of a feed by state, since the store began."""

    feed: str
    stored: int
    rejected: int
    duplicate: int


@dataclass(frozen=True, slots=True)
class Lease:
    """A partition that this owner may work on until its time is up; `epoch` fences whoever had it before."""

    topic: str
    partition: int
    epoch: int
    next_offset: int


@dataclass(slots=True)
class OutboxRow:
    """One version to publish. `seq` is gap-free and in commit order within its partition."""

    partition: int
    seq: int
    type: str
    id: str
    version: int
    lane: str
    body: bytes
    deleted: bool
    at: dt.datetime
    message: str
    feed: str
    traceparent: str
    reply_to: str = ""
    """A reply (acknowledgement) to send: the feed it answers; `body` is the reply, type and id are ''."""


class Store(Standing, Protocol):
    """See the module's first lines for the promise."""

    order: Order

    async def start(self) -> None:
        """Connect and bring the schema to head. Raises `errors.Unavailable`, or `errors.Misconfigured` when the
        database is newer than this program.
        """
        ...

    async def stop(self) -> None:
        """Finish running transactions and disconnect. Safe to call twice."""
        ...

    async def ready(self) -> None:
        """Return when a write would work now; raise `errors.Unavailable` when not."""
        ...

    async def apply(self, batch: Batch) -> Applied:
        """Commit a batch. Concurrent small batches share transactions (group commit); one that fails does not fail
        its companions. Raises `errors.Fenced` (stale epoch or lease), `errors.Unavailable` (nothing was done, or it
        is not known: apply the same batch again, the position and the inbox make that safe).
        """
        ...

    async def write(self, edits: Sequence[Edit], conditions: Sequence[Condition] = ()) -> list[Edited]:
        """Commit edits of the API, all or none, each with its version, search rows and outbox row; answer in their order.

        Edits without conditions share transactions with others (group commit). Conditions are looked at inside the
        transaction, under locks that other writers with an equal condition wait for. Raises `Moved` when a version or
        a condition is not as expected (`at` is the resource or the query's type); `errors.Unavailable` as `apply` does.
        One resource twice among the edits is a bug of the caller.
        """
        ...

    async def claim(
        self,
        group: str,
        owner: str,
        wanted: Sequence[tuple[str, int]],
        *,
        limit: int | None = None,
        seconds: float = 10,
    ) -> list[Lease]:
        """Take or renew leases on free, expired or own partitions, at most `limit` in all (None: a fair share among
        the owners of the group that are alive), and give back those held beyond. A taken-over partition gets a higher
        epoch. Call it every few seconds: what is not renewed within `seconds` is free for others. `wanted` is in the
        order of preference.
        """
        ...

    async def release(self, group: str, owner: str) -> None:
        """Give all leases of `owner` back at once."""
        ...

    async def positions(self, group: str) -> dict[tuple[str, int], int]:
        """Return the next offset of every partition that a group has a position for."""
        ...

    async def read(self, resource_type: str, resource_id: str, *, sight: Sight | None = None) -> Version | None:
        """Return the current version (deleted ones included, `deleted` set), or None. Concurrent reads share trips.

        Here and below: with a `sight`, what is not within it is not there, deleted resources among it.
        """
        ...

    async def read_many(self, wanted: Sequence[tuple[str, str]], *, sight: Sight | None = None) -> list[Version]:
        """Return the current, not deleted versions of these (type, id), in any order; what is not there is left out."""
        ...

    async def vread(
        self, resource_type: str, resource_id: str, version: int, *, sight: Sight | None = None
    ) -> Version | None:
        """Return one version, or None."""
        ...

    async def history(
        self,
        resource_type: str,
        resource_id: str,
        *,
        count: int,
        before: int | None = None,
        sight: Sight | None = None,
    ) -> Page:
        """Return versions of one resource, newest first, below version `before`."""
        ...

    async def judge(self, edits: Sequence[Edit], sight: Sight) -> list[bool]:
        """Say of contents that are to be written whether each will be within a sight, blocks aside."""
        ...

    async def changes(
        self,
        types: Sequence[str],
        *,
        count: int,
        since: dt.datetime | None = None,
        before: tuple[dt.datetime, str, str, int] | None = None,
        sight: Sight | None = None,
    ) -> Page:
        """Return versions of all resources of some types (none: of all), newest first: type and system history.

        `since` is the oldest moment shown; `before` is (last_updated, type, id, version) of the last one shown.
        """
        ...

    async def search(self, query: Query) -> Page:
        """Return one page of current, not deleted resources within `Query.sight`. Call only with what `access.decide`
        permitted.
        """
        ...

    async def message(self, receipt: str) -> MessageRow | None:
        """Return what became of a receipt, or None when no message with it has been applied (yet)."""
        ...

    async def rejected(self, feed: str, *, count: int, before: str | None = None) -> list[MessageRow]:
        """Return rejected (and partly rejected) messages of a feed, newest first."""
        ...

    async def made(self, resource_type: str, resource_id: str) -> list[MessageRow]:
        """Return the messages that made versions of a resource, oldest first."""
        ...

    def journal(self) -> AsyncIterator[MessageRow]:
        """Yield first arrivals (stored and rejected, no duplicates) in the order in which they were applied, as of now."""
        ...

    async def counts(self) -> list[FeedCount]:
        """Return messages by state per feed."""
        ...

    async def stop_feed(self, feed: str, why: str) -> None:
        """Keep a feed from being translated until `resume_feed`; the first reason stands."""
        ...

    async def resume_feed(self, feed: str) -> None:
        """Let a stopped feed go on."""
        ...

    async def stopped_feeds(self) -> dict[str, str]:
        """Return the feeds that are stopped, with why."""
        ...

    async def outbox(self, after: Mapping[int, int], *, limit: int) -> list[OutboxRow]:
        """Return unpublished rows of some partitions, `{partition: after this seq}`: each partition's in commit order,
        without gaps, at most `limit` of each.
        """
        ...

    async def published(self, upto: Mapping[int, int], *, epochs: Mapping[int, int]) -> None:
        """Note that rows up to these, `{partition: seq}`, are on the backbone. Raises `errors.Fenced` when one of the
        epochs is old; the other partitions are noted all the same.
        """
        ...

    async def wait_outbox(self, seconds: float) -> None:
        """Return when something was added to the outbox (LISTEN), or after `seconds`."""
        ...
