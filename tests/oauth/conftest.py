"""`w`: an authorization server with its clients, on a schema of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.oauth.world import World, world


@pytest.fixture
async def w(postgres_url: str, tmp_path: Path) -> AsyncIterator[World]:
    async with world(postgres_url, tmp_path / "clients") as made:
        yield made
