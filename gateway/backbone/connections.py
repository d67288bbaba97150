"""Connections to the embedded log's PostgreSQL, and what its absence means. Knows no table."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import asyncpg

from gateway import errors

ACQUIRE_SECONDS_MAX = 5.0
STATEMENT_SECONDS_MAX = 30.0

PoolFactory = Callable[[], Awaitable["asyncpg.Pool[Any]"]]

_AWAY = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,  # the connection or the pool is closed
    asyncpg.InternalClientError,  # what asyncpg raises on returning a connection that was cut in mid-answer
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # shutting down, starting up, cancelled
    asyncpg.InsufficientResourcesError,  # disk full, too many connections
    asyncpg.TransactionRollbackError,  # deadlock, serialisation
    asyncpg.ReadOnlySQLTransactionError,  # a standby, or one that has just become one
    asyncpg.LockNotAvailableError,
)

_SETTINGS = {
    "application_name": "sundbro-backbone",
    "jit": "off",  # compiling would cost a hundred times what the statements do
    # A plan made while the tables were empty is kept and would read them through when they have grown.
    "enable_seqscan": "off",
}


class Connections:
    """A pool that opens when it is told to, reconnects by itself, and says `errors.Unavailable` when it cannot."""

    def __init__(self, database: str | PoolFactory, connections_max: int) -> None:
        self._database = database
        self._connections_max = connections_max
        self._pool: asyncpg.Pool[Any] | None = None

    @property
    def open(self) -> bool:
        """Whether `start` was called and `stop` was not."""
        return self._pool is not None

    async def start(self) -> None:
        """Open the pool."""
        with _world():
            self._pool = await (self._connect(self._database) if isinstance(self._database, str) else self._database())

    async def stop(self) -> None:
        """Close the pool; cut off what does not end."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            await asyncio.wait_for(pool.close(), ACQUIRE_SECONDS_MAX)
        except _AWAY:
            pool.terminate()

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[Any]:
        """Lend a connection. What the world does to it meanwhile is `errors.Unavailable`; a bug stays a bug."""
        if self._pool is None:
            raise errors.Unavailable("the backbone is not started")
        with _world():
            async with self._pool.acquire(timeout=ACQUIRE_SECONDS_MAX) as connection:
                yield connection

    async def _connect(self, url: str) -> asyncpg.Pool[Any]:
        pool: asyncpg.Pool[Any] = await asyncpg.create_pool(
            url,
            min_size=0,  # asyncpg would keep trying in the background, and log every failure whole
            max_size=self._connections_max,
            timeout=ACQUIRE_SECONDS_MAX,
            command_timeout=STATEMENT_SECONDS_MAX,
            server_settings=_SETTINGS,
            reset=_leave,
        )
        return pool


async def _leave(_connection: object) -> None:
    """Give a connection back as it is: our statements leave nothing on it, and asyncpg's reset is a round trip."""


@contextlib.contextmanager
def _world() -> Iterator[None]:
    try:
        yield
    except _AWAY as failure:
        if isinstance(failure, ValueError):  # asyncpg's word for an argument of the wrong type
            raise
        raise errors.Unavailable(f"the backbone's database does not answer ({type(failure).__name__})") from failure
