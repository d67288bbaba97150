"""Connections of the store: kept at hand while they are well, and never more than there may be."""

from __future__ import annotations

import asyncio

import pytest

from gateway.errors import Unavailable
from gateway.store.postgres.connections import Connections

PID = "select pg_backend_pid()"


@pytest.fixture
async def connections(database):
    made = Connections(database.url, "public", size=2)
    await made.open()
    yield made
    await made.close()


async def _pid(connections: Connections) -> int:
    async with connections.session() as connection:
        return await connection.fetchval(PID)


async def test_a_connection_that_is_well_is_taken_again_and_a_lost_one_is_not(connections):
    first = await _pid(connections)
    assert await _pid(connections) == first
    async with connections.alone() as other:
        await other.fetchval("select pg_terminate_backend($1, 5000)", first)
    await asyncio.sleep(0.1)
    assert await _pid(connections) != first


async def test_one_that_is_lost_while_it_is_used_is_unavailable_and_not_kept(connections):
    with pytest.raises(Unavailable):
        async with connections.session() as connection:
            await connection.execute("select pg_terminate_backend(pg_backend_pid())")
    assert await _pid(connections)


async def test_whoever_is_cancelled_in_a_statement_leaves_nothing_of_it_behind(connections):
    async def slow() -> None:
        async with connections.session() as connection:
            await connection.execute("select pg_sleep(60)")

    for _ in range(5):
        running = asyncio.create_task(slow())
        await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
    assert [await asyncio.wait_for(_pid(connections), 10) for _ in range(3)]


async def test_there_are_never_more_than_there_may_be_and_who_waits_has_a_turn(connections):
    pids: set[int] = set()

    async def ask() -> None:
        async with connections.session() as connection:
            pids.add(await connection.fetchval("select pg_backend_pid() from pg_sleep(0.02)"))

    await asyncio.wait_for(asyncio.gather(*(ask() for _ in range(12))), 30)
    assert len(pids) == 2


async def test_closing_waits_for_who_is_under_way(connections):
    async def ask() -> int:
        async with connections.session() as connection:
            return await connection.fetchval("select 7 from pg_sleep(0.3)")

    running = asyncio.create_task(ask())
    await asyncio.sleep(0.1)
    await asyncio.wait_for(connections.close(), 5)
    assert await running == 7
    with pytest.raises(Unavailable):
        await ask()
