"""Events about who came in, who was refused and what was put on record. Part of the closed list of `events`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.observe.observation import Observation


@dataclass(frozen=True, slots=True)
class ClientsRefused(Observation):
    """The folder of client registrations changed and cannot be used: what was registered before goes on."""

    why: str
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class AccessRefused(Observation):
    """A request without a valid token, or without the right; `why` is a closed word."""

    interaction: str
    why: str
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class LoggedIn(Observation):
    """Somebody logged in through an identity provider; `kind` is citizen, staff or operator."""

    provider: str
    kind: str
    assurance: str
    level: ClassVar[str] = "info"


@dataclass(frozen=True, slots=True)
class LoginRefused(Observation):
    """A log-in or a logout token came to nothing; `fault` is a closed word, `detail` names a check and never a value."""

    provider: str
    fault: str
    detail: str
    level: ClassVar[str] = "warning"


@dataclass(frozen=True, slots=True)
class AuditFailed(Observation):
    """A record could not be written, so the answer was "unavailable"."""

    interaction: str
    level: ClassVar[str] = "error"


@dataclass(frozen=True, slots=True)
class AuditWritten(Observation):
    """A record is durable; `seconds` is what its answer waited for it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class AuditMeasured(Observation):
    """How far the ledger is behind: the age of the oldest record without a checkpoint, and what witnesses do not have."""

    unsealed_seconds: float
    unsent: int
    unsent_seconds: float


@dataclass(frozen=True, slots=True)
class MinlogMeasured(Observation):
    """What is to be registered in MinLog: waiting entries, the age of the oldest, and those that wait for a person."""

    waiting: int
    oldest_seconds: float
    parked: int


@dataclass(frozen=True, slots=True)
class MinlogSent(Observation):
    """One request to MinLog was answered: entries added, and failed."""

    added: int
    failed: int
