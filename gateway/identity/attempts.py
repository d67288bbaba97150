"""How often somebody may fail, counted by all processes of all machines together: rows that failures alone write.

A row is a keyed hash of who failed at what, how many times, and until when that counts: no address, no client, no person.
A limit holds from the failure that reaches it until its window, which the first failure began, is over. Of attempts that
are under way at one moment each is judged by what had failed before it, so that as many more may get through.

Without the database nothing is let through: the question before an attempt raises Unavailable (nothing could be given
anyway: assertions are used up and tokens recorded there). A failure that cannot be counted is refused all the same, and
a crash of the database forgets what was counted (the table is unlogged): a limit is a brake, not a lock.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hmac
from dataclasses import dataclass

from gateway.clock import Clock
from gateway.errors import Busy, Unavailable
from gateway.store.grants import Grants


@dataclass(frozen=True, slots=True)
class Limit:
    """So many failures at one thing within a time."""

    of: str
    most: int
    within: dt.timedelta


class Attempts:
    """Counts failures. `secret` is the same in every process."""

    def __init__(self, grants: Grants, secret: bytes, clock: Clock) -> None:
        self._grants = grants
        self._secret = secret
        self._clock = clock

    async def refuse(self, limit: Limit, *who: str) -> None:
        """Raise Busy when somebody has failed too often, Unavailable when nobody can say."""
        if await self._grants.failures(self._key(limit, who), self._clock.now()) >= limit.most:
            raise Busy("too many failures", retry_after_seconds=int(limit.within.total_seconds()))

    async def failed(self, limit: Limit, *who: str) -> None:
        """Count one."""
        now = self._clock.now()
        with contextlib.suppress(Unavailable):
            await self._grants.failed(self._key(limit, who), now, now + limit.within)

    def _key(self, limit: Limit, who: tuple[str, ...]) -> bytes:
        """Return what a row is called by: lengths first, so that no two lists of words are one."""
        words = [limit.of, *who]
        return hmac.digest(self._secret, "".join(f"{len(word)}:{word}" for word in words).encode(), "sha256")
