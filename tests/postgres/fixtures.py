"""`postgres_url`: one PostgreSQL for the whole run. Take a schema or a database of your own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres.server import Server


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    server = Server()
    try:
        yield server.start()
    finally:
        server.remove()
