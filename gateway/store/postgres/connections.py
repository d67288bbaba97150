"""The connections to PostgreSQL, and what its failures mean to the house. No statement of the store stands here."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import asyncpg

from gateway.errors import Unavailable

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

    Connection = PoolConnectionProxy[Any]
else:
    Connection = Any

_SETTINGS = {
    "jit": "off",
    "timezone": "UTC",
    "statement_timeout": "60s",
    # A stopped (not dead) gateway must not hold a reading position for ever.
    "idle_in_transaction_session_timeout": "30s",
    # Batches look up by arrays of keys: always by index, never by hashing a table.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}
_COMMAND_SECONDS = 90.0
_STATEMENTS_MAX = 512
"""Prepared statements that a connection keeps: a search has one for its shape, and one for those that travel together."""

_AWAY = (
    OSError,  # refused, reset, no such socket; TimeoutError is one too
    asyncpg.PostgresConnectionError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.OperatorInterventionError,  # shut down, crashed, starting up, cancelled by an operator or a time limit
    asyncpg.InsufficientResourcesError,  # disk full, out of memory, too many connections
    asyncpg.PostgresSystemError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.LockNotAvailableError,
    asyncpg.ReadOnlySQLTransactionError,  # a standby, until it is promoted
    asyncpg.InternalClientError,  # the stream broke off in the middle of a message
)


@contextlib.contextmanager
def away_is_unavailable() -> Iterator[None]:
    """Turn a failure of the world into `errors.Unavailable`; anything else is a bug and passes."""
    try:
        yield
    except _AWAY as error:
        raise Unavailable(f"the database does not answer ({type(error).__name__})") from error
    except asyncpg.InterfaceError as error:
        if not _lost(error):
            raise
        raise Unavailable("the connection to the database was lost") from error


def _lost(error: BaseException) -> bool:
    """Say whether an error of asyncpg's own means that this connection is of no more use.

    A dying server says goodbye between two statements; until the socket closes a moment later, asyncpg reports the
    next statement as "another operation is in progress" or as a wrong internal state. (That would also be the sign of
    a connection used by two tasks at once; `session` gives each its own.)
    """
    text = str(error)
    return isinstance(error, asyncpg.InternalClientError) or "clos" in text or "operation is in progress" in text


def _well(connection: Connection) -> bool:
    try:
        return not connection.is_closed()
    except asyncpg.InterfaceError:  # lost while nobody used it: the pool has let go of it already
        return False


async def _as_it_is(_: Any) -> None:
    """Instead of asyncpg's reset, which costs a trip: transactions are closed and nothing else is left behind."""


class Connections:
    """A pool whose connections have the store's schema as their search_path. Lost ones are replaced on use.

    A connection that was used and is well is kept at hand, not given back: asyncpg's giving back and taking again costs as
    much as a small statement.
    """

    def __init__(self, url: str, schema: str, *, size: int, settings: Mapping[str, str] | None = None) -> None:
        self._url = url
        self._schema = schema
        self._search_path = f'"{schema}"'  # quoted: a schema may be called `user` or `order`
        self._size = size
        self._settings = {**_SETTINGS, **(settings or {}), "search_path": self._search_path}
        self._pool: asyncpg.Pool[Any] | None = None
        self.opened = 0
        """How often it has connected. After a crash of the database all that is done goes over connections that are new."""
        self._seats = asyncio.Semaphore(size)
        self._at_hand: list[Connection] = []

    def another(self, size: int, settings: Mapping[str, str]) -> Connections:
        """Return a pool of its own to the same schema, not open."""
        return Connections(self._url, self._schema, size=size, settings=settings)

    async def open(self) -> None:
        """Connect once, to learn that it works. Raises Unavailable."""
        with away_is_unavailable():
            self._pool = await asyncpg.create_pool(
                self._url,
                min_size=0,
                init_size=1,
                max_size=self._size,
                max_inactive_connection_lifetime=0,
                command_timeout=_COMMAND_SECONDS,
                server_settings=self._settings,
                reset=_as_it_is,
                statement_cache_size=_STATEMENTS_MAX,
                init=self._count,
            )

    async def _count(self, _: Any) -> None:
        self.opened += 1

    async def close(self) -> None:
        """Wait for running calls, then disconnect. Safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            while self._at_hand:
                await pool.release(self._at_hand.pop())
            await asyncio.wait_for(pool.close(), 10)
        except (TimeoutError, *_AWAY, asyncpg.InterfaceError):
            pool.terminate()

    @contextlib.asynccontextmanager
    async def session(self) -> AsyncIterator[Connection]:
        """Borrow a connection. Raises Unavailable when the world fails, here or inside the block."""
        pool = self._pool
        if pool is None:
            raise Unavailable("the store is not connected")
        with away_is_unavailable():
            async with self._seats:
                connection = await self._taken(pool)
                try:
                    yield connection
                except BaseException as error:
                    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError) and _lost(error):
                        with contextlib.suppress(asyncpg.InterfaceError):  # the pool has let go of it already
                            connection.terminate()  # else the pool would try to roll back on it, and keep it
                    await pool.release(connection)
                    raise
                if self._pool is pool:
                    self._at_hand.append(connection)
                else:  # closed meanwhile, and waited for
                    await pool.release(connection)

    async def _taken(self, pool: asyncpg.Pool[Any]) -> Connection:
        while self._at_hand:
            connection = self._at_hand.pop()
            if _well(connection):
                return connection
            await pool.release(connection)
        return await pool.acquire()

    @contextlib.asynccontextmanager
    async def alone(self) -> AsyncIterator[asyncpg.Connection[Any]]:
        """Open a connection beside the pool, for what takes long or listens: migrations, LISTEN."""
        with away_is_unavailable():
            connection = await asyncpg.connect(
                self._url, server_settings={"search_path": self._search_path, "timezone": "UTC"}
            )
            try:
                yield connection
            finally:
                with contextlib.suppress(*_AWAY, asyncpg.InterfaceError):
                    await connection.close(timeout=2)
