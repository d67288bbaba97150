"""Holding partitions: the leases of one worker, renewed in time, and where it reads on in each.

Not the lease itself (the store decides who has what, and fences); this remembers what was decided, so that translators
and publishers do it one way.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence

from gateway.errors import Unavailable
from gateway.store.port import Lease, Store

LEASE_SECONDS = 8.0
RENEW_SECONDS = 2.0

Key = tuple[str, int]


class Holding:
    """The partitions that one worker holds. `next` is where it reads on; the worker moves it as it goes.

    `limit` is how many it may hold; None is a fair share among those that are alive.
    """

    def __init__(
        self, store: Store, group: str, owner: str, wanted: Sequence[Key], *, limit: int | None = None
    ) -> None:
        self._store = store
        self._group = group
        self._owner = owner
        self._wanted = wanted
        self._limit = limit
        self._renewed = -math.inf
        self.leases: dict[Key, Lease] = {}
        self.next: dict[Key, int] = {}

    def epoch(self, key: Key) -> int:
        """Return the epoch under which a partition is held."""
        return self.leases[key].epoch

    async def renew(self) -> set[Key] | None:
        """Claim again when it is time; return the partitions that others took over, None when it was not time yet.

        Nobody takes a lease that runs: what went while ours did was given back, for others to have their share.
        """
        now = time.monotonic()
        if now - self._renewed < RENEW_SECONDS:
            return None
        claimed = await self._store.claim(
            self._group, self._owner, self._wanted, limit=self._limit, seconds=LEASE_SECONDS
        )
        leases = {(lease.topic, lease.partition): lease for lease in claimed}
        for key, lease in leases.items():
            held = self.leases.get(key)
            if held is None or held.epoch != lease.epoch:
                self.next[key] = lease.next_offset
        ran_out = now - self._renewed > LEASE_SECONDS
        lost = self.leases.keys() - leases.keys()
        for key in lost:
            self.next.pop(key, None)
        self.leases, self._renewed = leases, now
        return set(lost) if ran_out else set()

    def forget(self) -> None:
        """Start over: leases and positions are read anew from what the store says."""
        self.leases.clear()
        self.next.clear()
        self._renewed = -math.inf

    async def release(self) -> None:
        """Give everything back at once; leases that cannot be given back run out by themselves."""
        with contextlib.suppress(Unavailable):
            await self._store.release(self._group, self._owner)
        self.forget()
