"""The MLLP door's promises, on real sockets and a real log: framing, order, acknowledgement, patience, limits."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from gateway.formats import er7, mllp
from gateway.model import Position, Reason, RejectionCode
from gateway.observe import events
from gateway.store.port import MessageRow, MessageState
from tests.contracts.doors import HOSPITAL, condition, doors, feed_with, message, segment, sender, verdict

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)


async def test_an_acknowledged_message_is_on_the_log_byte_for_byte(postgres_url: str):
    async with doors(postgres_url) as house:
        async with sender(await house.open_mllp()) as lis:
            body = message("A-1", text="Ærø æble")
            assert await lis.ask(body) == ("AA", "A-1")
        (raw,) = await house.written()
        assert raw.body == body
        assert (raw.feed, raw.control_id, raw.content_type, raw.sender) == (
            "hospital",
            "A-1",
            "application/hl7-v2",
            "LIS|OUH",
        )
        assert house.receipts.ours("hospital", raw.receipt)
        assert raw.traceparent.startswith("00-")
        (event,) = house.heard(events.MessageReceived)
        assert (event.receipt, event.size_bytes, event.door) == (raw.receipt, len(body), "mllp")


async def test_the_same_message_again_gets_the_same_answer(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        body = message("7")
        assert await lis.ask(body) == await lis.ask(body) == ("AA", "7")
        first, second = await house.written()
        assert first.body == second.body
        assert first.lane == second.lane
        assert first.receipt != second.receipt


async def test_the_control_id_comes_back_byte_for_byte(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        for control_id in ("007", "aBc ", " x", "Å1"):
            lis.send(message(control_id))
            answer = await lis.answer()
            assert segment(answer, "MSA")[2].encode("latin-1") == control_id.encode()


async def test_frames_split_across_reads_and_several_in_one_read_are_all_answered_in_order(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        stream = b"".join(mllp.frame(message(str(number), person=f"251248999{number}")) for number in range(9))
        for start in range(0, len(stream), 701):
            lis.write(stream[start : start + 701])
            await lis.writer.drain()
            await asyncio.sleep(0.001)
        assert [verdict(await lis.answer()) for _ in range(9)] == [("AA", str(number)) for number in range(9)]


async def test_junk_before_the_start_byte_is_told_and_thrown_away(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.write(b"HELO" + mllp.frame(message("1")))
        assert verdict(await lis.answer()) == ("AA", "1")
        assert [event.count for event in house.heard(events.BytesDiscarded)] == [4]


async def test_an_end_without_carriage_return_is_an_end_after_a_moment(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.write(mllp.frame(message("1")).removesuffix(b"\r"))
        assert verdict(await lis.answer()) == ("AA", "1")


async def test_ten_thousand_pipelined_messages_are_answered_in_order_and_share_commits(postgres_url: str):
    count = 10_000
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        body = message("@@@@@@", person="2512489996")

        async def write() -> None:
            for start in range(0, count, 500):
                lis.send(*(body.replace(b"@@@@@@", b"%06d" % n) for n in range(start, start + 500)))
                await lis.writer.drain()

        writing = asyncio.create_task(write())
        answers = [verdict(await lis.answer(60)) for _ in range(count)]
        await writing
        assert answers == [("AA", f"{number:06d}") for number in range(count)]
        assert [raw.control_id for raw in await house.written()] == [f"{number:06d}" for number in range(count)]
        assert house.intake.inflight.messages == house.intake.inflight.bytes == 0


async def test_a_block_over_the_cap_is_refused_by_name_and_the_next_one_is_taken(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(message("big", text="x" * (300 << 10)), message("small"))
        answer = await lis.answer()
        assert verdict(answer) == ("AR", "big")
        assert condition(answer) == "207"
        assert verdict(await lis.answer()) == ("AA", "small")
        assert [raw.control_id for raw in await house.written()] == ["small"]


@pytest.mark.parametrize(
    ("fields", "error", "text"),
    [
        ({"msh9": ""}, "101", "MSH-9"),
        ({"msh10": ""}, "101", "MSH-10"),
        ({"msh11": ""}, "101", "MSH-11"),
        ({"msh12": ""}, "101", "MSH-12"),
        ({"msh11": "T"}, "202", "training"),
        ({"msh11": "D^A"}, "202", "debugging"),
        ({"msh18": "UNICODE UTF-16"}, "102", "UTF-16"),
    ],
)
async def test_what_cannot_be_taken_is_answered_ar_with_its_condition(postgres_url: str, fields, error, text):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(message("9", **fields), message("10"))
        answer = await lis.answer()
        assert verdict(answer)[0] == "AR"
        assert text in segment(answer, "MSA")[3]
        if fields.get("msh12") != "":
            assert condition(answer) == error
        assert verdict(await lis.answer()) == ("AA", "10")
        assert [raw.control_id for raw in await house.written()] == ["10"]
        assert [event.code for event in house.heard(events.MessageRefused)] == [error]


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        (b"", "100"),
        (b"hello", "100"),
        (b'{"resourceType":"Bundle"}', "100"),
        (message("1").decode().encode("utf-16"), "102"),
        (message("1").decode().encode("utf-16-be"), "102"),
    ],
)
async def test_a_block_without_msh_is_answered_ar(postgres_url: str, payload: bytes, error: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(payload)
        answer = await lis.answer()
        assert verdict(answer)[0] == "AR"
        assert condition(answer) == error
        assert await house.written() == []


async def test_a_feed_for_tests_takes_training_messages(postgres_url: str):
    feed = feed_with(HOSPITAL, accept_test_messages=True)
    async with doors(postgres_url, feed) as house, sender(await house.open_mllp()) as lis:
        assert await lis.ask(message("1", msh11="T")) == ("AA", "1")


async def test_the_sender_in_msh_decides_the_feed_and_an_unknown_one_is_answered_ar(postgres_url: str):
    lab = feed_with(HOSPITAL, name="lab", mllp_senders=["LIS|OUH"])
    adt = feed_with(HOSPITAL, name="adt", mllp_senders=["EPJ|*"])
    async with doors(postgres_url, lab, adt) as house, sender(await house.open_mllp()) as engine:
        assert await engine.ask(message("1")) == ("AA", "1")
        assert await engine.ask(message("2", msh3="EPJ^1.2.208^ISO", msh4="RH")) == ("AA", "2")
        assert await engine.ask(message("3", msh3="RIS")) == ("AR", "3")
        assert [raw.control_id for raw in await house.written("lab")] == ["1"]
        assert [raw.control_id for raw in await house.written("adt")] == ["2"]
        (refused,) = house.heard(events.MessageRefused)
        assert refused.feed == ""


ENHANCED = [
    # MSH-15, MSH-16, answers to a message that is taken, answers to one that is refused
    ("", "", ["AA"], ["AR"]),
    ("AL", "NE", ["CA"], ["CR"]),
    ("AL", "", ["CA"], ["CR"]),
    ("ER", "NE", [], ["CR"]),
    ("SU", "NE", ["CA"], []),
    ("NE", "AL", ["AA"], ["AR"]),
    ("NE", "ER", [], ["AR"]),
    ("NE", "NE", [], []),
]


@pytest.mark.parametrize(("accept", "application", "taken", "refused"), ENHANCED)
async def test_the_acknowledgement_mode_is_the_one_asked_for(postgres_url: str, accept, application, taken, refused):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        modes = {"msh15": accept, "msh16": application}
        lis.send(message("good", **modes), message("bad", msh11="T", **modes), message("end"))
        answers = []
        while (found := verdict(await lis.answer()))[1] != "end":
            answers.append(found)
        assert answers == [(code, "good") for code in taken] + [(code, "bad") for code in refused]
        assert sorted(raw.control_id or "" for raw in await house.written()) == ["end", "good"]


def row(receipt: str, state: MessageState, *reasons: Reason) -> MessageRow:
    return MessageRow("hospital", receipt, state, Position("raw.hospital", 0, 0), NOW, NOW, "ORU^R01", (), reasons, "")


@pytest.mark.parametrize(
    ("state", "reasons", "code", "error"),
    [
        (MessageState.STORED, (), "AA", "0"),
        (MessageState.DUPLICATE, (), "AA", "0"),
        (MessageState.REJECTED, (Reason(RejectionCode.IDENTITY_MISSING, "PID-3", "no identifier"),), "AE", "101"),
        (MessageState.REJECTED, (Reason(RejectionCode.UNSUPPORTED_TYPE, "MSH-9", "not taken"),), "AR", "200"),
    ],
)
async def test_enhanced_mode_with_both_gets_the_stores_verdict_later_on_the_same_connection(
    postgres_url: str, state, reasons, code, error
):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(message("1", msh15="AL", msh16="AL"))
        assert verdict(await lis.answer()) == ("CA", "1")
        assert await lis.ask(message("2")) == ("AA", "2")  # nobody waits for the store
        raw = next(raw for raw in await house.written() if raw.control_id == "1")
        house.rows[raw.receipt] = row(raw.receipt, state, *reasons)
        answer = await lis.answer()
        assert verdict(answer) == (code, "1")
        assert condition(answer) == error
        assert er7.peek(answer).control_id not in {b"1", b"2"}


async def test_without_a_verdict_in_time_no_application_acknowledgement_is_sent(postgres_url: str):
    async with doors(postgres_url) as house:
        address = await house.open_mllp(outcome_seconds=0.05)
        async with sender(address) as lis:
            lis.send(message("1", msh15="AL", msh16="AL"))
            assert verdict(await lis.answer()) == ("CA", "1")
            await asyncio.sleep(0.2)
            assert await lis.ask(message("2")) == ("AA", "2")


BATCH = b"FHS|^~\\&|LIS|OUH\rBHS|^~\\&|LIS|OUH|SUNDBRO|REGION|20261122||||B-7\r%sBTS|3\rFTS|1\r"


async def test_a_batch_is_answered_by_a_batch_and_each_message_by_itself(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(BATCH % b"".join((message("1"), message("2", msh11="T"), message("3"))))
        answer = await lis.answer()
        assert segment(answer, "BHS")[11] == "B-7"
        codes = [tuple(line.split("|")[1:3]) for line in answer.decode().split("\r") if line.startswith("MSA")]
        assert codes == [("AA", "1"), ("AR", "2"), ("AA", "3")]
        assert segment(answer, "BTS")[1] == "3"
        first, last = sorted(await house.written(), key=lambda raw: raw.receipt)
        assert (first.control_id, last.control_id) == ("1", "3")
        assert first.batch == last.batch != ""


async def test_a_batch_with_a_single_answer_is_taken_whole_or_not_at_all(postgres_url: str):
    feed = feed_with(HOSPITAL, mllp_batch_ack="single")
    async with doors(postgres_url, feed) as house, sender(await house.open_mllp()) as lis:
        assert await lis.ask(BATCH % b"".join((message("1"), message("2", msh11="T")))) == ("AR", "B-7")
        assert await house.written() == []
        assert await lis.ask(BATCH % b"".join((message("1"), message("2")))) == ("AA", "B-7")
        assert [raw.control_id for raw in await house.written()] == ["1", "2"]


async def test_an_acknowledgement_is_never_acknowledged(postgres_url: str):
    async with doors(postgres_url) as house, sender(await house.open_mllp()) as lis:
        lis.send(message("1", msh9="ACK^R01^ACK"), b"\x06", message("2"))
        assert verdict(await lis.answer()) == ("AA", "2")
