"""What was acknowledged is there, once and in order, whatever is killed, stopped or paused; on both backbones."""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from gateway import errors
from gateway.backbone import kafka, postgres
from gateway.backbone.port import TopicSpec
from gateway.model import Position, Record
from tests.contracts.backbones import House, kafka_house, postgres_house
from tests.contracts.test_backbone import ALL, PARTITIONS, TOPIC, everything
from tests.kafka.broker import Broker, Cluster
from tests.kafka.fixtures import missing
from tests.kafka.jars import NoBrokerError
from tests.postgres.server import Server

LANES = 16


@dataclass
class Breakable:
    """A log whose server can be struck down and raised again, or made to stand still."""

    house: House
    kill: Callable[[], None]
    raise_again: Callable[[], Coroutine[Any, Any, None]]


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.kafka)])
async def breakable(request: pytest.FixtureRequest) -> AsyncIterator[Breakable]:
    if request.param == "kafka":
        broker: Broker = request.getfixturevalue("kafka_process")
        async with kafka_house(broker.address) as house:
            yield Breakable(house, broker.kill, broker.start)
        if not broker.running:
            await broker.start()
        return
    server = Server()
    try:
        async with postgres_house(server.start()) as house:
            yield Breakable(house, server.kill, lambda: asyncio.to_thread(server.restart))
    finally:
        server.remove()


def limits(house: House, seconds: float) -> Any:
    return dataclasses.replace((kafka if house.kind == "kafka" else postgres).LIMITS, append_seconds_max=seconds)


@dataclass
class Ledger:
    """What appenders were told. Nothing is ever sent twice, so nothing may be found twice."""

    confirmed: dict[Position, Record] = field(default_factory=dict)
    unconfirmed: int = 0

    async def append(self, client: Any, records: Sequence[Record]) -> bool:
        try:
            positions = await client.append(records)
        except errors.Unavailable:
            self.unconfirmed += len(records)
            return False
        assert len(set(positions)) == len(records)
        assert not self.confirmed.keys() & set(positions), "one position given to two records"
        self.confirmed.update(zip(positions, records, strict=True))
        return True

    async def check(self, client: Any, *, repeats: bool = False) -> None:
        """Check what stands in the log. `repeats`: of what was **not** confirmed, a lone broker that was killed may have left
        a record twice; what counts then is its first place, as for the inbox of the store.
        """
        found = await everything(client)
        stored = {one.position: one.record for one in found}
        assert {position: stored.get(position) for position in self.confirmed} == self.confirmed
        values = [(one.record.key, one.record.value) for one in found]
        first = list(dict.fromkeys(values))
        if repeats and len(first) < len(values):
            told = {(record.key, record.value) for record in self.confirmed.values()}
            again = {value for value, times in Counter(values).items() if times > 1}
            assert not again & told, "a confirmed record twice"
            values = first
        assert len(first) == len(values), "a record twice"
        by_lane: dict[bytes, list[bytes]] = defaultdict(list)
        for key, value in values:
            by_lane[key].append(value)
        for seen in by_lane.values():
            assert seen == sorted(seen), "the order of a lane was lost"
        assert len({*self.confirmed.values()} if repeats else self.confirmed) <= len(values)
        assert len(values) <= len(self.confirmed) + self.unconfirmed


async def hammer(client: Any, ledger: Ledger, lane: int, going: asyncio.Event) -> None:
    """Append to one lane, three records at a time, two calls under way, going on after a failure."""
    n = 0
    while going.is_set():
        calls = []
        for _ in range(2):
            records = [Record(TOPIC, f"lane-{lane}".encode(), f"{n + m:08}".encode(), (), 1) for m in range(3)]
            calls.append(asyncio.ensure_future(ledger.append(client, records)))
            await asyncio.sleep(0)
            n += 3
        if not all(await asyncio.gather(*calls)):
            await asyncio.sleep(0.05)


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def test_acknowledged_records_survive_kill_9_and_are_there_once_and_in_order(breakable: Breakable) -> None:
    house = breakable.house
    client = await house.client(limits=limits(house, 3.0))
    reader = await house.client()
    await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
    ledger, going = Ledger(), asyncio.Event()
    going.set()
    appenders = [asyncio.create_task(hammer(client, ledger, lane, going)) for lane in range(LANES)]
    for _ in range(2 if house.kind == "postgres" else 1):
        before = len(ledger.confirmed)
        await until(lambda before=before: len(ledger.confirmed) > before + 1000)
        breakable.kill()
        lost = ledger.unconfirmed
        await until(lambda lost=lost: ledger.unconfirmed > lost)
        with pytest.raises(errors.Unavailable):
            await client.ready()
        with pytest.raises(errors.Unavailable):  # never "nothing there", which would be untrue
            await reader.fetch(dict.fromkeys(ALL, 10**9), wait_seconds=0.2)
        await breakable.raise_again()
        at = len(ledger.confirmed)
        await until(lambda at=at: len(ledger.confirmed) > at + 500)
    going.clear()
    await asyncio.gather(*appenders)
    await client.ready()
    await ledger.check(reader, repeats=house.kind == "kafka")
    await ledger.check(await house.client(), repeats=house.kind == "kafka")


@pytest.mark.kafka
async def test_three_brokers_lose_their_leader_while_sending_and_no_record_is_lost_or_doubled() -> None:
    """The short form: 20,000 records of 500 bytes (60,000 were measured the same way)."""
    total, ledger = 20_000, Ledger()

    async def send(client: Any, lane: int) -> None:
        for n in range(0, total // LANES, 25):
            records = [
                Record(TOPIC, f"lane-{lane}".encode(), f"{n + m:08}".encode() + bytes(492), (), 1) for m in range(25)
            ]
            await ledger.append(client, records)

    try:
        async with Cluster(3) as cluster, kafka_house(cluster.address, replicas=3) as house:
            client = await house.client(limits=limits(house, 30.0))
            await client.ensure([TopicSpec(TOPIC, PARTITIONS)])
            senders = [asyncio.create_task(send(client, lane)) for lane in range(LANES)]
            await until(lambda: len(ledger.confirmed) > total // 4)
            cluster.brokers[0].kill()
            assert len(ledger.confirmed) < total, "the broker was killed too late to show anything"
            await asyncio.gather(*senders)
            assert ledger.unconfirmed == 0, "two brokers of three are enough, and the change of leaders is waited for"
            assert len(ledger.confirmed) == total
            await ledger.check(client)
            hasty = await house.client(limits=limits(house, 2.0))
            cluster.brokers[1].kill()
            with pytest.raises(errors.Unavailable):  # one of three is not enough to say that it is durable
                await hasty.append([Record(TOPIC, b"lane", b"alone")])
    except NoBrokerError as failure:
        missing(str(failure))
