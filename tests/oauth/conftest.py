"""`w`: an authorization server with its clients; `schema`: a schema that the worlds of a run share, one after another."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.oauth.world import World, prepared, world


@pytest.fixture(scope="session")
def schema(postgres_url: str) -> str:
    return asyncio.run(prepared(postgres_url))


@pytest.fixture
async def w(postgres_url: str, schema: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(postgres_url, schema, tmp_path / "clients") as made:
        yield made
