"""Failures are counted by all processes together, on one real PostgreSQL; who fails too often waits in every one of them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import sys
from collections.abc import AsyncIterator, Iterator

import asyncpg
import pytest

from gateway.clock import FrozenClock
from gateway.errors import Busy, Unavailable
from gateway.identity.attempts import Attempts, Limit
from gateway.store.postgres.grants import PostgresGrants
from tests.life import ROOT
from tests.oauth.world import START, World

SECRET = b"the same in every process, surely"
LIMIT = Limit("client", 20, dt.timedelta(minutes=1))
FAILS = f"""
import asyncio, datetime as dt, sys
from gateway.clock import FrozenClock
from gateway.identity.attempts import Attempts, Limit
from gateway.store.postgres.grants import PostgresGrants

async def main(url, schema, times):
    grants = PostgresGrants(url, schema=schema)
    await grants.start()
    attempts = Attempts(grants, {SECRET!r}, FrozenClock(dt.datetime.fromisoformat({START.isoformat()!r})))
    limit = Limit("client", 20, dt.timedelta(minutes=1))
    await asyncio.gather(*(attempts.failed(limit, "192.0.2.1", "partner") for _ in range(times)))
    await grants.stop()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@contextlib.asynccontextmanager
async def counting(url: str, schema: str, clock: FrozenClock) -> AsyncIterator[Attempts]:
    grants = PostgresGrants(url, schema=schema)
    await grants.start()
    try:
        yield Attempts(grants, SECRET, clock)
    finally:
        await grants.stop()


@pytest.fixture(autouse=True)
def nobody(postgres_url: str, schema: str) -> Iterator[None]:
    async def forget() -> None:
        connection = await asyncpg.connect(postgres_url)
        await connection.execute(f"truncate {schema}.failure")
        await connection.close()

    asyncio.run(forget())
    yield
    asyncio.run(forget())


async def failed_elsewhere(url: str, schema: str, times: int) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", FAILS, url, schema, str(times), cwd=ROOT)
    assert await process.wait() == 0


async def test_two_processes_count_together(postgres_url: str, schema: str) -> None:
    clock = FrozenClock(START)
    async with counting(postgres_url, schema, clock) as here, counting(postgres_url, schema, clock) as there:
        await failed_elsewhere(postgres_url, schema, 12)
        for _ in range(7):
            await here.failed(LIMIT, "192.0.2.1", "partner")
        for one in (here, there):
            await one.refuse(LIMIT, "192.0.2.1", "partner")  # nineteen
        await asyncio.gather(failed_elsewhere(postgres_url, schema, 1), here.refuse(LIMIT, "192.0.2.2", "partner"))
        for one in (here, there):
            with pytest.raises(Busy) as busy:
                await one.refuse(LIMIT, "192.0.2.1", "partner")
            assert busy.value.retry_after_seconds == 60
            for other in (
                ("192.0.2.2", "partner"),
                ("192.0.2.1", "partner2"),
                ("192.0.2.1", ""),
                ("192.0.2.1partner",),
            ):
                await one.refuse(LIMIT, *other)
            await one.refuse(Limit("login", 1, LIMIT.within), "192.0.2.1", "partner")
        clock.advance(dt.timedelta(seconds=61))
        await there.refuse(LIMIT, "192.0.2.1", "partner")
        await there.failed(LIMIT, "192.0.2.1", "partner")
        await here.refuse(LIMIT, "192.0.2.1", "partner")  # one, not twenty-one


async def test_a_row_says_of_nobody_who_it_is_about_and_goes_when_its_time_is_over(
    postgres_url: str, schema: str
) -> None:
    clock = FrozenClock(START)
    async with counting(postgres_url, schema, clock) as attempts:
        await attempts.failed(LIMIT, "192.0.2.1", "partner")
        connection = await asyncpg.connect(postgres_url)
        (row,) = await connection.fetch(f"select * from {schema}.failure")
        assert set(row.keys()) == {"who", "times", "until"}
        assert len(row["who"]) == 32
        assert b"partner" not in row["who"]
        await attempts._grants.sweep(START + dt.timedelta(seconds=59))
        assert await connection.fetchval(f"select count(*) from {schema}.failure") == 1
        await attempts._grants.sweep(START + dt.timedelta(seconds=61))
        assert await connection.fetchval(f"select count(*) from {schema}.failure") == 0
        await connection.close()


async def test_nothing_is_let_through_while_nobody_can_say_how_often_it_failed(postgres_url: str, schema: str) -> None:
    grants = PostgresGrants(postgres_url, schema=schema)  # not connected: the database does not answer
    attempts = Attempts(grants, SECRET, FrozenClock(START))
    with pytest.raises(Unavailable):
        await attempts.refuse(LIMIT, "192.0.2.1", "partner")
    await attempts.failed(LIMIT, "192.0.2.1", "partner")  # the refusal that it counts is told all the same


async def test_a_client_that_failed_at_one_process_waits_at_the_other(w: World, postgres_url: str, schema: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        connection = await asyncpg.connect(postgres_url)
        stack.push_async_callback(connection.close)
        for _ in range(20):
            assert (await w.token(grant_type="client_credentials", client_id="system-es256")).status_code == 401
        assert await connection.fetchval(f"select max(times) from {schema}.failure") == 20
        elsewhere = PostgresGrants(postgres_url, schema=schema)
        await elsewhere.start()
        stack.push_async_callback(elsewhere.stop)
        w.server.endpoint._authentication._attempts._grants = elsewhere  # another process's pool
        assert (await w.credentials("system-es256")).status_code == 429
        await elsewhere.sweep(w.clock.now() + dt.timedelta(minutes=2))
        assert (await w.credentials("system-es256")).status_code == 200
