"""The closed list of things the house announces. No payload and no person's number fits into any of them.

A part is given a `Tell` when it is made and calls it with one of these; `metrics.py`, `logs.py` and `traces.py` listen.
`level` is the log level ('' is not logged, only counted). docs/reference/metrics.md is made from `metrics.py`.
"""

# ruff: noqa: PLC0414, I001 - names that are given on, the way type checkers know it

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.guarding import (
    AccessRefused as AccessRefused,
    AuditFailed as AuditFailed,
    AuditMeasured as AuditMeasured,
    AuditWritten as AuditWritten,
    ClientsRefused as ClientsRefused,
    LoggedIn as LoggedIn,
    LoginRefused as LoginRefused,
    MinlogMeasured as MinlogMeasured,
    MinlogSent as MinlogSent,
)
from gateway.observe.observation import Observation as Observation
from gateway.observe.observation import Tell as Tell
from gateway.observe.observation import silent as silent


@dataclass(frozen=True, slots=True)
class RoleStarted(Observation):
    """A role of this process runs."""

    role: str
    detail: str = ""
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class RoleStopped(Observation):
    """A role of this process has ended; `detail` says why when it was not asked to."""

    role: str
    detail: str = ""
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class RoleCrashed(Observation):
    """A bug: the role is started again. `error` is the exception's class and where it was raised, never its text."""

    role: str
    error: str
    level: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class PartUnavailable(Observation):
    """A database, broker or disk does not answer; waiting `retry_seconds`."""

    part: str
    error: str
    retry_seconds: float
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class ConnectionOpened(Observation):
    """A sender connected to a door."""

    door: str
    feed: str


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Observation):
    """A sender's connection ended: `why` is peer, idle, block-timeout, unavailable (not durable, so
    not answered), full (too many connections), tls, stop, fault (ours).
    """

    door: str
    feed: str
    why: str


@dataclass(frozen=True, slots=True)
class BytesDiscarded(Observation):
    """Bytes outside a frame (MLLP) were thrown away."""

    door: str
    feed: str
    count: int
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class MessageReceived(Observation):
    """A message is durable on raw.<feed>. `seconds` is from its last byte to durable."""

    feed: str
    door: str
    receipt: str
    size_bytes: int
    seconds: float
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class MessageRefused(Observation):
    """A door did not take a message; the sender was told. `code` is an HTTP status or an HL7 table 0357 code."""

    feed: str
    door: str
    code: str
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class MessageTranslated(Observation):
    """An adapter made resources or a rejection out of a message."""

    feed: str
    receipt: str
    message_type: str
    resources: int
    seconds: float
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class MessageStored(Observation):
    """A message's effect is committed; `visible_seconds` is from reception to searchable."""

    feed: str
    receipt: str
    versions: int
    unchanged: int
    late: int
    visible_seconds: float
    seconds: float = 0.0
    """Of the transaction that committed it."""
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class MessageRejected(Observation):
    """A message, or a reading in it, was rejected; `codes` are the closed rejection codes."""

    feed: str
    receipt: str
    message_type: str
    codes: tuple[str, ...]
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class MessageDuplicate(Observation):
    """A message was seen before; its first arrival counts."""

    feed: str
    receipt: str


@dataclass(frozen=True, slots=True)
class ControlIdReused(Observation):
    """A sender used a message number again for another message (restarted counter?)."""

    feed: str
    receipt: str
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class MessageNoticed(Observation):
    """Something odd that did not stop a message: `charset-fallback`, `clock-corrected`, …"""

    feed: str
    code: str


@dataclass(frozen=True, slots=True)
class FeedStopped(Observation):
    """Too large a share of a feed was rejected: it waits for a person. The position stands still."""

    feed: str
    rejected: int
    window: int
    level: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class BatchApplied(Observation):
    """One transaction of a translator committed."""

    topic: str
    messages: int
    versions: int
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerFenced(Observation):
    """A partition was taken over by another worker; this one let go."""

    topic: str
    partition: int
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class OrderRepeated(Observation):
    """An empty store is filled from the log, in the order in which the store that kept this book applied it."""

    book: str
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class OrderBegun(Observation):
    """From here on the store keeps the order of application in a book of its own, after the one it repeated, if any."""

    book: str
    after: str
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class VersionPublished(Observation):
    """Resource versions are on fhir.<Type>; `lag_seconds` is from commit to published, of the oldest."""

    topic: str
    count: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class RecordPublished(Observation):
    """One traced version is on fhir.<Type>; `seconds` is from commit to published."""

    topic: str
    seconds: float
    traceparent: str


@dataclass(frozen=True, slots=True)
class LagMeasured(Observation):
    """How far translation is behind on a feed: messages waiting, and the age of the oldest in seconds."""

    feed: str
    waiting: int
    lag_seconds: float


@dataclass(frozen=True, slots=True)
class RequestAnswered(Observation):
    """The API answered. `interaction` is a route's name, never a URL."""

    interaction: str
    resource_type: str
    status: int
    seconds: float


@dataclass(frozen=True, slots=True)
class FileTaken(Observation):
    """A file of the watched folder was taken in: `outcome` is done or failed."""

    feed: str
    outcome: str
    messages: int
    level: ClassVar[str] = "info"
