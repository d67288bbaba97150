"""`house`: the log-in of a gateway with the local issuer; `browser`: somebody at it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.clock import FrozenClock
from tests.identity.house import NOW, Browser, House
from tests.identity.house import house as opened
from tests.identity.op import Op, running


@pytest.fixture
async def house(postgres_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with opened(postgres_url, tmp_path) as made:
        yield made


@pytest.fixture
async def browser(house: House) -> AsyncIterator[Browser]:
    async with Browser(house) as made:
        yield made


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(NOW)


@pytest.fixture
async def op(clock: FrozenClock) -> AsyncIterator[Op]:
    async with running(clock) as made:
        yield made


@pytest.fixture
async def other_op(clock: FrozenClock) -> AsyncIterator[Op]:
    async with running(clock) as made:
        yield made


@pytest.fixture
async def at_op(postgres_url: str, tmp_path: Path, clock: FrozenClock, op: Op, other_op: Op) -> AsyncIterator[Browser]:
    """A browser at a gateway with two brokers, `mitid` and `other`."""
    secret = tmp_path / "secret"
    secret.write_text("a secret")
    secret.chmod(0o600)
    described = "".join(
        f'[{name}]\nissuer = "{each.issuer}"\nprofile = "neb"\nclient_id = "gateway"\nclient_secret = "secret"\nkinds = ["citizen", "staff"]\n'
        'idp_values = "mitid mitid_erhverv"\norganisations = { 12345678 = "OUH" }\nstaff = { prof-1 = { role = "7170" } }\n'
        for name, each in (("mitid", op), ("other", other_op))
    )
    (tmp_path / "login.toml").write_text(described)
    async with (
        opened(postgres_url, tmp_path, clock=clock, login=tmp_path / "login.toml") as house,
        Browser(house) as made,
    ):
        yield made
