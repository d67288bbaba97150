"""Leases on partitions: time-limited, with an epoch that fences whoever had the partition before.

An owner is one run of one worker: its name must not be used again by the next run, or a zombie of the same name would
keep its epoch.
"""

from __future__ import annotations

from collections.abc import Sequence

from gateway.store.port import Lease
from gateway.store.postgres import statements
from gateway.store.postgres.connections import Connections

_SQL = statements.load("leases")
_MEMBERS = "/members"
"""An owner is itself leased, as a row of this group: so that everybody knows how many share."""


async def claim(
    connections: Connections,
    group: str,
    owner: str,
    wanted: Sequence[tuple[str, int]],
    *,
    limit: int | None,
    seconds: float,
) -> list[Lease]:
    """See `store.port.Store.claim`."""
    async with connections.session() as connection, connection.transaction():
        await connection.execute(_SQL["join"], group + _MEMBERS, owner, seconds)
        if limit is None:
            members = await connection.fetchval(_SQL["members"], group + _MEMBERS)
            limit = -(-len(wanted) // max(1, members))  # on a slow machine its own membership may be over by now
        await connection.execute(_SQL["add"], group, *_columns(wanted))
        own = await connection.fetch(_SQL["own"], group, owner)
        asked = set(wanted)
        kept = [row for row in own if (row["topic"], row["part"]) in asked][:limit]
        keep = [(row["topic"], row["part"]) for row in kept]
        back = [key for row in own if (key := (row["topic"], row["part"])) not in set(keep)]
        if back:
            await connection.execute(_SQL["give_back"], group, *_columns(back))
        if keep:
            await connection.execute(_SQL["renew"], group, *_columns(keep), seconds)
        leases = [Lease(row["topic"], row["part"], row["epoch"], row["next_offset"]) for row in kept]
        rest = [key for key in wanted if key not in set(keep)]
        if len(keep) < limit and rest:
            free = await connection.fetch(_SQL["free"], group, *_columns(rest), limit - len(keep))
            if free:
                keys = _columns([(row["topic"], row["part"]) for row in free])
                taken = await connection.fetch(_SQL["take"], group, *keys, owner, seconds)
                leases += [Lease(row["topic"], row["part"], row["epoch"], row["next_offset"]) for row in taken]
    return sorted(leases, key=lambda lease: (lease.topic, lease.partition))


async def release(connections: Connections, group: str, owner: str) -> None:
    """See `store.port.Store.release`."""
    async with connections.session() as connection:
        await connection.execute(_SQL["release"], group, owner)
        await connection.execute(_SQL["leave"], group + _MEMBERS, owner)


async def positions(connections: Connections, group: str) -> dict[tuple[str, int], int]:
    """See `store.port.Store.positions`."""
    async with connections.session() as connection:
        return {
            (row["topic"], row["part"]): row["next_offset"] for row in await connection.fetch(_SQL["positions"], group)
        }


def _columns(keys: Sequence[tuple[str, int]]) -> tuple[list[str], list[int]]:
    return [topic for topic, _ in keys], [part for _, part in keys]
