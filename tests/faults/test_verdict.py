"""The verdict of the kill tests sees what it must see: one thing lost, doubled or out of order, and it says no."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Iterator

import pytest

from tests.gateway import Gateway
from tests.load import Load
from tests.verdict import judge

PATIENT = "type = (select code from resource_type where name = 'Patient')"
LONGEST = f"{PATIENT} and id = (select id from version where {PATIENT} group by id order by count(*) desc limit 1)"
BODY = "convert_to(replace(convert_from(body, 'UTF8'), '{}', '{}'), 'UTF8')"
FIRST = "receipt = (select min(receipt) from message where state = 'stored' and feed = 'hospital')"

TAMPERED = {
    "a message that counts for nothing": (
        f"update message set state = 'duplicate' where {FIRST}",
        "update message set state = 'stored' where state = 'duplicate' and first",
    ),
    "a message decided at another place": (
        f"update message set at_offset = at_offset + 100000 where {FIRST}",
        "update message set at_offset = at_offset - 100000 where at_offset >= 100000",
    ),
    "a version that is missing": (
        f"update version set version = 1000 where {LONGEST} and version = 2",
        f"update version set version = 2 where {PATIENT} and version = 1000",
    ),
    "a version that says what another one said": (
        f"update version set body = {BODY.format('+4570', '+4571')} where {LONGEST} and version = 2",
        f"update version set body = {BODY.format('+4571', '+4570')} where {PATIENT}",
    ),
    "a count that is wrong": (
        "update feed_count set stored = stored + 1 where (feed, part) = (select feed, min(part) from feed_count group by feed limit 1)",
        "update feed_count set stored = stored - 1 where (feed, part) = (select feed, min(part) from feed_count group by feed limit 1)",
    ),
    "a row of the outbox that was never published": (
        "update outbox_head set seq = seq + 1 where part = (select min(part) from outbox_head)",
        "update outbox_head set seq = seq - 1 where part = (select min(part) from outbox_head)",
    ),
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateway, Load]]:
    """A gateway that did right by a load, and has stopped working on it."""
    load = Load(5, 200)
    with Gateway(tmp_path_factory.mktemp("verdict")) as gateway:
        asyncio.run(load.run(gateway))
        gateway.drained()
        judge(gateway, load)
        yield gateway, load


@pytest.mark.parametrize("what", TAMPERED)
def test_it_sees(judged: tuple[Gateway, Load], what: str) -> None:
    gateway, load = judged
    tamper, mend = TAMPERED[what]
    gateway.sql(tamper)
    try:
        with pytest.raises(AssertionError):
            judge(gateway, load)
    finally:
        gateway.sql(mend)


def test_it_sees_a_message_that_was_lost_and_one_that_nobody_sent(judged: tuple[Gateway, Load]) -> None:
    gateway, load = judged
    load.messages[b"acknowledged and lost"] = "hospital"
    load.ledger.acknowledged[b"acknowledged and lost"] += 1
    with pytest.raises(AssertionError, match="lacks what was acknowledged"):
        judge(gateway, load)
    del load.messages[b"acknowledged and lost"], load.ledger.acknowledged[b"acknowledged and lost"]
    body = next(iter(load.messages))
    feed = load.messages.pop(body)
    count = load.ledger.acknowledged.pop(body)
    with pytest.raises(AssertionError, match="the log has what nobody sent"):
        judge(gateway, load)
    load.messages[body], load.ledger.acknowledged[body] = feed, count


def test_it_sees_an_event_told_twice_in_different_words(judged: tuple[Gateway, Load]) -> None:
    gateway, load = judged
    judge(gateway, load)  # everything is mended again

    async def tell_again() -> None:
        async with gateway.backbone() as backbone:
            told = (await asyncio.to_thread(gateway.records, ["fhir.Patient"]))[0].record
            await backbone.append([dataclasses.replace(told, value=told.value + b" ")])

    asyncio.run(tell_again())
    with pytest.raises(AssertionError, match="an event id for another event"):
        judge(gateway, load)
