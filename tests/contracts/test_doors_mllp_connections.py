"""The MLLP door and its connections: silence, half blocks, time-outs, many at once, no durability, a stop."""

from __future__ import annotations

import asyncio

from gateway.formats import mllp
from gateway.observe import events
from tests.contracts.doors import HOSPITAL, doors, feed_with, message, sender, until, verdict
from tests.postgres.server import Server


async def test_a_half_block_is_dropped_without_an_answer(postgres_url: str):
    async with doors(postgres_url) as house:
        async with sender(await house.open_mllp(block_seconds=0.2)) as lis:
            lis.write(mllp.frame(message("1"))[:50])
            await lis.closed()
        await asyncio.sleep(0.01)
        assert [event.why for event in house.heard(events.ConnectionClosed)] == ["block-timeout"]
        assert await house.written() == []
        assert house.intake.inflight.bytes == 0


async def test_a_sender_that_trickles_a_block_runs_out_of_time(postgres_url: str):
    async with doors(postgres_url) as house:
        async with sender(await house.open_mllp(block_seconds=0.3)) as lis:

            async def trickle() -> None:
                for byte in mllp.frame(message("1")):
                    lis.write(bytes([byte]))
                    await asyncio.sleep(0.02)

            trickling = asyncio.create_task(trickle())
            await lis.closed(3)
            trickling.cancel()
        await asyncio.sleep(0.01)
        assert [event.why for event in house.heard(events.ConnectionClosed)] == ["block-timeout"]


async def test_a_silent_connection_is_closed(postgres_url: str):
    async with doors(postgres_url) as house:
        async with sender(await house.open_mllp(idle_seconds=0.1)) as lis:
            await lis.closed()
        await asyncio.sleep(0.01)
        assert [event.why for event in house.heard(events.ConnectionClosed)] == ["idle"]


async def test_one_connection_too_many_is_closed_at_once(postgres_url: str):
    async with doors(postgres_url) as house:
        address = await house.open_mllp(connections_max=1)
        async with sender(address) as first:
            assert await first.ask(message("1")) == ("AA", "1")
            async with sender(address) as second:
                await second.closed()
            assert await first.ask(message("2")) == ("AA", "2")


async def test_a_sender_that_closes_its_side_still_gets_its_answers(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(message("1"), message("2"))
        lis.writer.write_eof()
        assert verdict(await lis.answer()) == ("AA", "1")
        assert verdict(await lis.answer()) == ("AA", "2")
        await lis.closed()


async def test_without_durability_there_is_no_answer(postgres_url: str):
    async with doors(postgres_url, ack_seconds_max=0.2) as house, sender(await house.open_mllp()) as lis:
        async with house.stalled():
            lis.send(message("1"), message("2"))
            await lis.closed()
        assert {event.code for event in house.heard(events.MessageRefused)} == {"207"}
        assert house.intake.inflight.messages == 0


async def test_without_durability_a_feed_may_ask_for_ae(postgres_url: str):
    feed = feed_with(HOSPITAL, ack_when_unavailable="AE")
    async with doors(postgres_url, feed, ack_seconds_max=0.2) as house, sender(await house.open_mllp()) as lis:
        async with house.stalled():
            assert await lis.ask(message("1")) == ("AE", "1")
            assert await lis.ask(message("2", msh15="AL")) == ("CE", "2")
        assert await lis.ask(message("1")) == ("AA", "1")


async def test_a_dead_log_answers_nothing_and_a_risen_one_takes_the_message():
    server = Server()
    try:
        async with doors(server.start()) as house:
            address = await house.open_mllp()
            async with sender(address) as lis:
                assert await lis.ask(message("1")) == ("AA", "1")
                server.kill()
                lis.send(message("2"))
                await lis.closed(20)
            await asyncio.to_thread(server.restart)
            answer = None
            for _ in range(20):
                async with sender(address) as lis:
                    try:
                        answer = await lis.ask(message("2"))
                        break
                    except (EOFError, ConnectionError):
                        continue
            assert answer == ("AA", "2")
            assert {raw.control_id for raw in await house.written()} == {"1", "2"}
    finally:
        server.remove()


async def test_sockets_are_not_read_while_too_much_is_on_its_way(postgres_url: str):
    async with doors(postgres_url, messages_max=10) as house, sender(await house.open_mllp()) as lis:
        async with house.stalled():
            lis.send(*(message(str(number)) for number in range(40)))
            await asyncio.sleep(0.3)
            assert house.intake.inflight.messages == 10
        assert [verdict(await lis.answer()) for _ in range(40)] == [("AA", str(number)) for number in range(40)]
        assert house.intake.inflight.messages == 0


async def test_a_fault_of_ours_ends_one_connection_unanswered_and_is_announced(postgres_url: str):
    async with doors(postgres_url) as house:
        address = await house.open_mllp()
        async with sender(address) as other, sender(address) as unlucky:
            unlucky.send(message("1"), message("2", text="|BUG|"), message("3"))
            assert verdict(await unlucky.answer()) == ("AA", "1")
            await unlucky.closed()
            assert await other.ask(message("4")) == ("AA", "4")
        (crash,) = house.heard(events.RoleCrashed)
        assert crash.error.startswith("ZeroDivisionError at split_er7")
        assert house.intake.inflight.messages == 0
        assert {raw.control_id for raw in await house.written()} == {"1", "4"}


async def test_many_connections_share_the_log(postgres_url: str):
    async with doors(postgres_url) as house:
        address = await house.open_mllp()

        async def one(number: int) -> None:
            async with sender(address) as lis:
                for turn in range(10):
                    assert await lis.ask(message(f"{number}-{turn}", person=f"25124899{number:02d}")) == (
                        "AA",
                        f"{number}-{turn}",
                    )

        await asyncio.gather(*(one(number) for number in range(40)))
        assert len(await house.written()) == 400


async def test_a_stop_answers_what_was_taken_and_takes_no_more(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        assert house.mllp is not None
        async with house.stalled():
            lis.send(message("1"))
            await until(lambda: house.intake.inflight.messages)
            stopping = asyncio.create_task(house.mllp.stop())
            await asyncio.sleep(0.05)
            lis.send(message("2"))
        assert verdict(await lis.answer()) == ("AA", "1")
        await lis.closed()
        await stopping
        assert [raw.control_id for raw in await house.written()] == ["1"]
        assert [event.why for event in house.heard(events.ConnectionClosed)] == ["stop"]
