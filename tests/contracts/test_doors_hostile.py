"""Laws of the doors for whatever comes: any bytes, any cuts. Real sockets, a real log."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import Iterator

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.formats import mllp
from gateway.observe import events
from tests.contracts.doors import Doors, condition, doors, message, sender, verdict
from tests.contracts.test_doors_http import authorise

LAW = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck), database=None)

MARKS = [
    b"\x0b",
    b"\x1c",
    b"\r",
    b"\n",
    b"\x1c\r",
    b"|",
    b"^~\\&",
    b"MSH|^~\\&|",
    b"BHS|^~\\&|",
    b"FHS",
    b"BTS",
    b"\xff\xfe",
    b"\x06",
]
BYTES = st.lists(
    st.sampled_from([*MARKS, message("1"), mllp.frame(message("2"))]) | st.binary(max_size=40), max_size=20
)
CUTS = st.lists(st.integers(0, 1 << 20), max_size=6)

FRAMES = [
    mllp.frame(message("good")),
    mllp.frame(message("quiet", msh15="NE", msh16="NE")),
    mllp.frame(message("commit", msh15="AL", msh16="NE")),
    mllp.frame(message("training", msh11="T")),
    mllp.frame(message("big", text="x" * (300 << 10))),
    mllp.frame(b"hello"),
    mllp.frame(b"BHS|^~\\&|LIS\r" + message("b1") + message("b2", msh12="") + b"BTS|2\r"),
    mllp.frame(message("lf").replace(b"\r", b"\n")),
]


class Bench:
    """Doors that stay open while a law is tried on them."""

    def __init__(self, runner: asyncio.Runner, house: Doors, address: tuple[str, int]) -> None:
        self.runner = runner
        self.house = house
        self.address = address


@pytest.fixture
def bench(postgres_url: str) -> Iterator[Bench]:
    with asyncio.Runner() as runner:
        stack = contextlib.AsyncExitStack()
        house = runner.run(stack.enter_async_context(doors(postgres_url)))
        try:
            yield Bench(runner, house, runner.run(house.open_mllp()))
        finally:
            runner.run(stack.aclose())


async def converse(address: tuple[str, int], stream: bytes, cuts: list[int]) -> list[bytes]:
    """Send a stream in pieces, close our side, return all answers."""
    places = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    answers = []
    async with sender(address) as lis:
        for start, end in itertools.pairwise(places):
            lis.write(stream[start:end])
            await lis.writer.drain()
            await asyncio.sleep(0.001)
        lis.writer.write_eof()
        with contextlib.suppress(EOFError, ConnectionError):
            while True:
                answers.append(await lis.answer())
    return answers


def test_no_stream_of_bytes_harms_the_door(bench: Bench):
    @LAW
    @given(BYTES, CUTS)
    def law(parts: list[bytes], cuts: list[int]) -> None:
        bench.runner.run(converse(bench.address, b"".join(parts), cuts))
        (answer,) = bench.runner.run(converse(bench.address, mllp.frame(message("after")), []))
        assert verdict(answer) == ("AA", "after")
        assert bench.house.heard(events.RoleCrashed) == []
        assert bench.house.intake.inflight.messages == bench.house.intake.inflight.bytes == 0

    law()


def test_what_is_answered_does_not_depend_on_how_the_stream_was_cut(bench: Bench):
    def said(answers: list[bytes]) -> list[tuple[tuple[str, str], str]]:
        return [(verdict(answer), condition(answer)) for answer in answers]

    @LAW
    @given(st.lists(st.sampled_from(FRAMES), max_size=6), CUTS)
    def law(frames: list[bytes], cuts: list[int]) -> None:
        stream = b"".join(frames)
        whole = bench.runner.run(converse(bench.address, stream, []))
        assert said(bench.runner.run(converse(bench.address, stream, cuts))) == said(whole)

    law()


def test_half_blocks_hinder_no_honest_sender_of_small_messages_and_large_ones_only_for_a_while(bench: Bench):
    async def siege() -> None:
        address = await bench.house.open_mllp(halves_bytes_max=300_000, block_seconds=1.0)
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(10):
                loris = await stack.enter_async_context(sender(address))
                loris.write(b"\x0bMSH|^~\\&|" + b"x" * 100_000)
            await asyncio.sleep(0.1)
            async with sender(address) as honest:
                assert await honest.ask(message("1")) == ("AA", "1")
            async with sender(address) as honest:
                assert await honest.ask(message("2", text="x" * 150_000)) == ("AA", "2")
        assert [event.why for event in bench.house.heard(events.ConnectionClosed)].count("block-timeout") >= 3

    bench.runner.run(siege())


def test_a_sender_that_never_reads_its_answers_is_not_read_either(bench: Bench):
    """Each block is a batch of messages that are all refused: answers are greater than what they answer to."""
    refused = message("1", msh11="T").split(b"\r")[0] + b"\r"
    block = mllp.frame(b"BHS|^~\\&\r" + refused * 1000)
    blocks = 300

    async def deaf() -> tuple[int, int]:
        async with sender(bench.address, limit=1) as lis:
            lis.writer.transport.pause_reading()
            for _ in range(blocks):
                lis.write(block)
            counts = [-1, 0]
            while counts[-1] != counts[-2]:
                await asyncio.sleep(0.5)
                counts.append(len(bench.house.heard(events.MessageRefused)))
            unsent = lis.writer.transport.get_write_buffer_size()
            lis.writer.transport.abort()
            return counts[-1], unsent

    answered, unsent = bench.runner.run(deaf())
    assert 0 < answered < blocks * 1000
    assert unsent > 0


@pytest.mark.parametrize("kind", ["application/json", "application/x-ndjson"])
def test_no_body_harms_the_http_door(bench: Bench, kind: str):
    base = bench.runner.run(bench.house.open_http(authorise))
    client = httpx.AsyncClient(base_url=base, headers={"authorization": "Bearer all"})

    @LAW
    @given(
        st.binary(max_size=200) | st.text(max_size=100).map(str.encode), st.sampled_from(["", "gzip", "identity", "br"])
    )
    def law(body: bytes, encoding: str) -> None:
        headers = {"content-type": kind, "content-encoding": encoding}
        answer = bench.runner.run(client.post("/ingest/home", content=body, headers=headers))
        assert answer.status_code in {202, 400, 413, 415, 422}
        assert answer.status_code == 202 or answer.headers["content-type"] == "application/problem+json"
        assert bench.house.intake.inflight.bytes == 0

    law()
    bench.runner.run(client.aclose())
