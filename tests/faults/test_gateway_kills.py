"""Kill -9 of the gateway, its translators, PostgreSQL and the broker while messages go in: nothing lost, nothing doubled.

The senders are those of tests/load.py, the verdict is that of tests/verdict.py. The short form runs with the suite, the
long one (20,000 messages) by `make faults`. SUNDBRO_TEST_SEED gives the same messages and the same order of kills again.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.store.holding import LEASE_SECONDS
from tests.gateway import Gateway
from tests.kafka.broker import Broker
from tests.kafka.fixtures import missing
from tests.kafka.jars import NoBrokerError
from tests.load import Load
from tests.told import told_about
from tests.verdict import judge

BACKBONES = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]
SECONDS_MAX = 1500
Kill = Callable[[], Awaitable[None]]


class Killer:
    """Strikes at random moments while a load runs, each of its ways at least once, and raises again what does not rise by itself."""

    def __init__(self, seed: int, gateway: Gateway, broker: Broker | None, *, thorough: bool) -> None:
        self._chance = random.Random(f"{seed} killer")
        self._gateway = gateway
        self._broker = broker
        self.done: Counter[str] = Counter()
        self.ways: dict[str, Kill] = {
            "gateway": self._kill_gateway,
            "translator": self._kill_translator,
            "PostgreSQL": self._kill_postgres,
        }
        if broker:
            self.ways["broker"] = self._kill_broker
        if thorough or not broker:
            self.ways["everything"] = self._kill_everything
        if thorough:
            self.ways["pause"] = self._pause_translator

    async def run(self, load: Load, kills: int) -> None:
        """Strike `kills` times, one in each stretch of the load."""
        names = [*self.ways, *self._chance.choices(list(self.ways), k=kills)][:kills]
        self._chance.shuffle(names)
        for number, name in enumerate(names):
            moment = load.count * (number + self._chance.uniform(0.1, 0.9)) / kills
            await load.reached(moment)
            await asyncio.sleep(self._chance.uniform(0, 0.1))
            await self.ways[name]()
            self.done[name] += 1

    async def _kill_gateway(self) -> None:
        await asyncio.to_thread(self._gateway.kill)
        await self._start_again()

    async def _kill_translator(self) -> None:
        await asyncio.to_thread(self._gateway.kill_translator, self._chance)

    async def _pause_translator(self) -> None:
        """A translator stands still until its leases have gone to the other one, then goes on: it must be fenced."""
        paused = self._chance.choice(await asyncio.to_thread(self._gateway.translators))
        paused.suspend()
        try:
            await asyncio.sleep(LEASE_SECONDS + self._chance.uniform(1, 3))
        finally:
            paused.resume()

    async def _kill_postgres(self) -> None:
        await asyncio.to_thread(self._gateway.kill_postgres)

    async def _kill_everything(self) -> None:
        await asyncio.to_thread(self._gateway.kill_all)
        await self._start_again()

    async def _kill_broker(self) -> None:
        assert self._broker is not None
        self._broker.kill()
        await asyncio.sleep(self._chance.uniform(0, 2))
        await self._broker.start()

    async def _start_again(self) -> None:
        await asyncio.sleep(self._chance.uniform(0, 0.5))
        await asyncio.to_thread(self._gateway.start)


@pytest.fixture(params=BACKBONES)
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker | None]:
    """A broker of this test's own to kill, or None: the embedded backbone."""
    if request.param == "embedded":
        yield None
        return
    try:
        async with Broker() as running:
            yield running
    except NoBrokerError as why:
        missing(str(why))


async def through_kills(folder: Path, broker: Broker | None, *, count: int, kills: int, thorough: bool = False) -> str:
    """Run a load through kills and judge what is left of it; return figures to tell."""
    seed = int(os.environ.get("SUNDBRO_TEST_SEED", "0")) or random.SystemRandom().randrange(1, 10_000)
    print(f"SUNDBRO_TEST_SEED={seed}")
    load = Load(seed, count)
    gateway = Gateway(folder, kafka=broker.address if broker else "", translators=2, ack_seconds_max=10)
    killer = Killer(seed, gateway, broker, thorough=thorough)
    with gateway:
        began = time.monotonic()
        async with asyncio.timeout(SECONDS_MAX), asyncio.TaskGroup() as group:
            group.create_task(load.run(gateway))
            group.create_task(killer.run(load, kills))
        sent = time.monotonic() - began
        await asyncio.to_thread(gateway.drained)
        drained = time.monotonic() - began
        figures = await asyncio.to_thread(judge, gateway, load)
        assert killer.done.total() == kills
        printed = gateway.printed()
        assert not [line for line in printed.splitlines() if '"role_crashed"' in line and " at " in line], "a bug"
        assert "Traceback" not in printed
        assert not await asyncio.to_thread(told_about, load.people.all, gateway)
        return f"seed {seed}, killed {dict(killer.done)}, sent in {sent:.0f} s, drained in {drained:.0f} s, again {load.ledger.again}, {figures}"


async def test_every_acknowledged_message_is_decided_once_through_kills(
    tmp_path: Path, broker: Broker | None, capsys: pytest.CaptureFixture[str]
) -> None:
    told = await through_kills(tmp_path, broker, count=2_000, kills=4)
    with capsys.disabled():
        print(f"\n{'Kafka' if broker else 'embedded'}: {told}")


@pytest.mark.slow
@pytest.mark.timeout(SECONDS_MAX + 300)
async def test_the_same_with_twenty_thousand_messages_and_eighteen_kills(
    tmp_path: Path, broker: Broker | None, capsys: pytest.CaptureFixture[str]
) -> None:
    told = await through_kills(tmp_path, broker, count=20_000, kills=18, thorough=True)
    with capsys.disabled():
        print(f"\n{'Kafka' if broker else 'embedded'}: {told}")
