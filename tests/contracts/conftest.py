"""`database`: one embedded PostgreSQL for the store's contract tests; each test takes a schema of its own in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from gateway.store.postgres.store import PostgresStore
from tests.contracts.stores import Database, open_store, running_database


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with running_database(tmp_path_factory.mktemp("store")) as running:
        yield running


@pytest.fixture
async def store(database: Database) -> AsyncIterator[PostgresStore]:
    async with open_store(database.url) as opened:
        yield opened
