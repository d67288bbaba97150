"""What the house asks of its store about log-ins: rows only. What stands sealed in them is for `identity` to know.

Every question goes to the database, none is answered from memory: a session that one process ended is ended for all.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
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
        """End a session for every process; one that has ended stays as it is."""
        ...

    async def end_by_broker(self, idp: str, *, broker: bytes, subject: str, now: dt.datetime) -> int:
        """End the sessions of one broker session, of one subject, or of both together; return how many there were."""
        ...

    async def once(self, what: bytes, until: dt.datetime, now: dt.datetime) -> bool:
        """Note that something happened; False when it had already. It is forgotten after `until`."""
        ...
