"""The end of a log-in, on record: by the person, his provider, another log-in in the same browser, or by time.

An end takes something away, so that it does not wait for its record as a log-in does: it holds at once, and the row of the
session owes the record until it is written. `told` writes it within the request that ended it; what that could not (the
ledger was away, the process died), what a log-in replaced and what time ended `owed` writes, in whichever process asks
first. A process that dies between the two writes leaves a record twice, never none.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from gateway.errors import Unavailable
from gateway.identity.login.sessions import LoginSessions
from gateway.identity.on_record import Act, Happened, Record, actor_of


class Endings:
    """Writes down how sessions ended. `record` returns when it is durable."""

    def __init__(self, sessions: LoginSessions, record: Record) -> None:
        self._sessions = sessions
        self._record = record

    async def told(self, sessions: Sequence[str], source: str) -> None:
        """Write down that these have ended, at the word of somebody at `source`; what cannot be written is owed."""
        with contextlib.suppress(Unavailable):
            await self._write(sessions, source)

    async def owed(self) -> int:
        """End what time has ended, and write down what is owed; return how many records that were. Raises Unavailable."""
        await self._sessions.end_by_time()
        written = 0
        while found := await self._write(None, ""):
            written += found
        return written

    async def _write(self, only: Sequence[str] | None, source: str) -> int:
        async with self._sessions.unrecorded(only) as ended:
            for one in ended:
                actor = actor_of(one.login, one.id) if one.login else None
                await self._record(Happened(Act.LOGOUT, one.idp, actor, how=one.way, source=source))
            return len(ended)
