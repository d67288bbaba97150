"""What the house asks of its store about log-ins: rows only. What stands sealed in them is for `identity` to know.

Every question goes to the database, none is answered from memory: a session that one process ended is ended for all.
"""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SessionRow:
    """A log-in in one browser. `secret` is the SHA-256 of what its cookie holds, `sealed` the encrypted log-in."""

    id: str
    secret: bytes
    idp: str
    subject: str
    broker: bytes
    """Keyed hash of the broker's own session id, b'' where it has none."""
    sealed: bytes
    began: dt.datetime
    expires: dt.datetime
    seen: dt.datetime


class Way(enum.StrEnum):
    """How a session ended."""

    PERSON = "person"
    PROVIDER = "provider"
    REPLACED = "replaced"  # by another log-in in the same browser
    TIME = "time"  # unused for too long, or at its limit


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that ended, and whose end is not on record yet."""

    id: str
    idp: str
    sealed: bytes
    way: Way


class SessionStore(Protocol):
    """Raises `errors.Unavailable` from every call when the database does not answer."""

    async def begin(self, row: SessionRow, *, instead_of: bytes, unless: Sequence[bytes]) -> bool:
        """Enter a session and end the one whose cookie the browser had (`instead_of`, b'' for none).

        False, and nothing is entered, when one of `unless` has happened (`once`): the broker ended it already.
        """
        ...

    async def of_secret(self, secret: bytes, now: dt.datetime, idle: dt.timedelta) -> SessionRow | None:
        """Return the session of a cookie, None when it ended, expired or was not seen for `idle`; note that it was seen."""
        ...

    async def alive(self, session: str, now: dt.datetime, idle: dt.timedelta) -> bool:
        """Say whether a session goes on, and note that it was seen."""
        ...

    async def end(self, session: str, now: dt.datetime) -> None:
        """End a session for every process, by the person; one that has ended stays as it is."""
        ...

    async def end_by_broker(self, idp: str, *, broker: bytes, subject: str, now: dt.datetime) -> list[str]:
        """End the sessions of one broker session, of one subject, or of both together; return which there were."""
        ...

    async def end_by_time(self, now: dt.datetime, idle: dt.timedelta) -> None:
        """End what has expired or was not seen for `idle`. It was over before: now it is written so."""
        ...

    def unrecorded(self, only: Sequence[str] | None) -> AbstractAsyncContextManager[list[Ended]]:
        """Give sessions that ended and are not on record, of `only` or of all, some at a time; nobody else is given them.

        When the block ends well they are on record; when it does not, they are not.
        """
        ...

    async def once(self, what: bytes, until: dt.datetime, now: dt.datetime) -> bool:
        """Note that something happened; False when it had already. It is forgotten after `until`."""
        ...
