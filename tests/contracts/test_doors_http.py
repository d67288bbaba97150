"""The HTTP door's promises, on a real server and a real log: receipts, batches, limits, problems."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gzip
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import orjson
import pytest
from starlette.requests import Request

from gateway import errors
from gateway.model import Position, Reason, RejectionCode
from gateway.observe import events
from gateway.store.port import MessageRow, MessageState
from tests.contracts.doors import HOME, HOSPITAL, Doors, doors, feed_with, message, until

NOW = dt.datetime(2026, 11, 22, 9, tzinfo=dt.UTC)
JSON = {"content-type": "application/json"}
LINES = {"content-type": "application/x-ndjson"}


@dataclass(frozen=True)
class Client:
    client: str


@dataclass(frozen=True)
class Poster:
    """A verified token: `all` may post to everything, any other to the feed of that name."""

    actor: Client

    def may_post(self, feed: str) -> bool:
        return self.actor.client in {"all", feed}


async def authorise(request: Request) -> Poster:
    scheme, _, name = request.headers.get("authorization", "").partition(" ")
    if scheme != "Bearer":
        raise errors.Unauthenticated("a bearer token is needed")
    return Poster(Client(name))


@contextlib.asynccontextmanager
async def vendor(house: Doors, name: str = "all", **limits: int) -> AsyncIterator[httpx.AsyncClient]:
    base = await house.open_http(authorise, **limits)
    headers = {"authorization": f"Bearer {name}"} if name else {}
    async with httpx.AsyncClient(base_url=base, headers=headers, timeout=20) as client:
        yield client


def problem(answer: httpx.Response, status: int) -> dict:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert said["type"] == "about:blank"
    assert said["status"] == status
    assert said["title"]
    assert said["detail"]
    return said


async def test_one_message_gets_a_receipt_and_an_address_and_is_on_the_log(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        answer = await home.post("/ingest/home", content=b'{"person": 1}', headers={**JSON, "traceparent": parent})
        assert answer.status_code == 202
        said = answer.json()
        assert set(said) == {"receipt", "status"}
        assert said["status"] == f"/ingest/home/receipts/{said['receipt']}" == answer.headers["location"]
        (raw,) = await house.written("home")
        assert (raw.body, raw.receipt, raw.content_type) == (b'{"person": 1}', said["receipt"], "application/json")
        assert (raw.sender, raw.traceparent) == ("all", parent)
        (told,) = house.heard(events.MessageReceived)
        assert (told.receipt, told.traceparent, told.door) == (said["receipt"], parent, "http")


async def test_the_same_bytes_again_are_taken_again_under_another_receipt(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        first, second = [(await home.post("/ingest/home", content=b"{}", headers=JSON)).json()["receipt"] for _ in "ab"]
        assert first < second
        assert [raw.receipt for raw in await house.written("home")] == [first, second]


@pytest.mark.parametrize("kind", ["application/hl7-v2", "text/plain; charset=utf-8", "TEXT/PLAIN"])
async def test_er7_comes_by_http_as_well(postgres_url: str, kind: str):
    async with doors(postgres_url) as house, vendor(house) as lis:
        answer = await lis.post("/ingest/hospital", content=message("1"), headers={"content-type": kind})
        assert answer.status_code == 202
        assert [raw.control_id for raw in await house.written()] == ["1"]


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/ndjson"])
async def test_lines_are_messages_and_the_answer_is_a_list_in_their_order(postgres_url: str, kind: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        body = b"\xef\xbb\xbf" + b'{"person": 1, "n": 0}\r\n\n  \n{"person": 2, "n": 1}\n{"person": 1, "n": 2}'
        answer = await home.post("/ingest/home", content=body, headers={"content-type": kind})
        assert answer.status_code == 202
        by_receipt = {raw.receipt: raw for raw in await house.written("home")}
        raws = [by_receipt[entry["receipt"]] for entry in answer.json()]
        assert [orjson.loads(raw.body)["n"] for raw in raws] == [0, 1, 2]
        assert {raw.content_type for raw in raws} == {"application/json"}
        assert len({raw.batch for raw in raws}) == 1
        assert raws[0].lane == raws[2].lane != raws[1].lane


async def test_a_single_line_is_answered_by_a_list_as_well(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b"{}\n", headers=LINES)
        assert [set(entry) for entry in answer.json()] == [{"receipt", "status"}]


async def test_a_bad_line_is_told_in_its_place_and_costs_no_other(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b'{"n": 0}\n\n{"n": \n{"n": 3}', headers=LINES)
        assert answer.status_code == 202
        good, bad, last = answer.json()
        assert bad == {
            "state": "refused",
            "reasons": [{"code": "malformed", "at": "line 3: line 1", "text": "not JSON"}],
        }
        assert {good["receipt"], last["receipt"]} == {raw.receipt for raw in await house.written("home")}
        assert [event.code for event in house.heard(events.MessageRefused)] == ["422"]


async def test_when_no_line_can_be_taken_it_is_a_problem_with_all_reasons(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        said = problem(await home.post("/ingest/home", content=b"x\ny", headers=LINES), 422)
        assert [reason["at"] for reason in said["reasons"]] == ["line 1: line 1", "line 2: line 1"]
        assert await house.written("home") == []


async def test_a_body_of_several_messages_is_answered_by_a_list(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b"[{},{},{}]", headers=JSON)
        assert len(answer.json()) == 3
        assert len(await house.written("home")) == 3


@pytest.mark.parametrize("body", [b"", b"not json", b"3", b"[]"])
async def test_what_is_not_the_format_at_all_is_422_with_a_reason(postgres_url: str, body: bytes):
    async with doors(postgres_url) as house, vendor(house) as home:
        said = problem(await home.post("/ingest/home", content=body, headers=JSON), 422)
        assert said["reasons"][0]["code"] == "malformed"
        assert await house.written("home") == []
        assert [(event.feed, event.code) for event in house.heard(events.MessageRefused)] == [("home", "422")]


async def test_401_403_404_405(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, "") as nobody:
        answer = await nobody.post("/ingest/home", content=b"{}", headers=JSON)
        problem(answer, 401)
        assert answer.headers["www-authenticate"] == "Bearer"
        problem(await nobody.post("/ingest/none", content=b"{}", headers=JSON), 401)
        other = {"authorization": "Bearer hospital"}
        problem(await nobody.post("/ingest/home", content=b"{}", headers={**JSON, **other}), 403)
        problem(await nobody.post("/ingest/2512489996", content=b"{}", headers={**JSON, **other}), 404)
        answer = await nobody.get("/ingest/home", headers=other)
        problem(answer, 405)
        assert answer.headers["allow"] == "POST"
        assert await house.written("home") == []
        assert {event.feed for event in house.heard(events.MessageRefused)} == {"", "home"}
        assert {event.why for event in house.heard(events.AccessRefused)} == {"unauthenticated", "denied"}


async def test_a_feed_without_this_door_does_not_exist_here(postgres_url: str):
    async with doors(postgres_url, feed_with(HOSPITAL, doors=("mllp",)), HOME) as house, vendor(house) as lis:
        problem(await lis.post("/ingest/hospital", content=message(), headers={"content-type": "text/plain"}), 404)


@pytest.mark.parametrize(
    "headers", [{}, {"content-type": "image/png"}, {"content-type": "application/json; charset=iso-8859-1"}]
)
async def test_415_says_what_the_feed_takes(postgres_url: str, headers: dict[str, str]):
    async with doors(postgres_url) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b"{}", headers=headers)
        said = problem(answer, 415)
        assert answer.headers["accept"] == "application/json, application/x-ndjson, application/ndjson"
        if "json" not in headers.get("content-type", ""):
            assert "application/x-ndjson" in said["detail"]


async def test_415_for_an_encoding_this_door_does_not_unpack(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b"{}", headers={**JSON, "content-encoding": "br"})
        problem(answer, 415)
        assert answer.headers["accept-encoding"] == "gzip"


async def test_gzip_is_unpacked_members_and_all(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        body = gzip.compress(b'{"a": ') + gzip.compress(b"1}")
        answer = await home.post("/ingest/home", content=body, headers={**JSON, "content-encoding": "gzip"})
        assert answer.status_code == 202
        assert [raw.body for raw in await house.written("home")] == [b'{"a": 1}']


@pytest.mark.parametrize(
    "body",
    [b"{}", gzip.compress(b'{"a": 1}')[:-4], b"", gzip.compress(b"{}") + b"tail"],
    ids=["plain", "cut", "empty", "tail"],
)
async def test_what_is_not_gzip_or_cut_short_is_400(postgres_url: str, body: bytes):
    async with doors(postgres_url) as house, vendor(house) as home:
        problem(await home.post("/ingest/home", content=body, headers={**JSON, "content-encoding": "gzip"}), 400)
        assert await house.written("home") == []


async def test_a_gzip_bomb_is_refused_by_its_ratio(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, gzip_ratio_max=100) as home:
        bomb = gzip.compress(b"0" * (8 << 20), 9)
        said = problem(await home.post("/ingest/home", content=bomb, headers={**JSON, "content-encoding": "gzip"}), 413)
        assert "100 times" in said["detail"]


async def test_a_gzip_bomb_is_refused_by_its_size(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, gzip_ratio_max=10_000, bytes_max=1 << 20) as home:
        bomb = gzip.compress(b"0" * (64 << 20), 9)
        said = problem(await home.post("/ingest/home", content=bomb, headers={**JSON, "content-encoding": "gzip"}), 413)
        assert "1048576 bytes" in said["detail"]
        assert house.intake.inflight.bytes == 0


async def test_a_body_over_the_limit_is_refused_before_it_is_read(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, bytes_max=1000) as home:
        reader, writer = await asyncio.open_connection(home.base_url.host, home.base_url.port)
        writer.write(
            b"POST /ingest/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n"
            b"Content-Type: application/json\r\nContent-Length: 5000000000\r\n\r\n"
        )
        async with asyncio.timeout(5):
            assert (await reader.readline()).startswith(b"HTTP/1.1 413")
            await reader.read()  # and the connection is closed
        writer.close()


async def blanks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b" " * 100_000


async def test_a_body_without_a_length_is_cut_at_the_limit_and_its_sender_told(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, bytes_max=1 << 20) as home:
        answer = await home.post("/ingest/home", content=blanks(80), headers=JSON)
        problem(answer, 413)
        assert answer.headers["connection"] == "close"
        assert [event.code for event in house.heard(events.MessageRefused)] == ["413"]
        assert house.intake.inflight.bytes == 0


async def test_a_body_without_an_end_is_cut_off(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, bytes_max=1 << 20) as home:
        with pytest.raises(httpx.TransportError):
            await home.post("/ingest/home", content=blanks(10_000_000), headers=JSON)
        assert [event.code for event in house.heard(events.MessageRefused)] == ["413"]
        assert house.intake.inflight.bytes == 0


async def test_a_message_over_its_feeds_limit_is_413(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        big = orjson.dumps({"x": "y" * (70 << 10)})
        problem(await home.post("/ingest/home", content=big, headers=JSON), 413)
        answer = await home.post("/ingest/home", content=b"{}\n" + big, headers=LINES)
        assert [entry.get("state") for entry in answer.json()] == [None, "refused"]
        assert answer.json()[1]["reasons"][0]["code"] == "too-large"


async def test_a_body_that_does_not_come_in_time_is_408(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house, seconds_max=0.2) as home:

        async def slow() -> AsyncIterator[bytes]:
            yield b"{"
            await asyncio.sleep(2)
            yield b"}"

        started = asyncio.get_running_loop().time()
        problem(await home.post("/ingest/home", content=slow(), headers=JSON), 408)
        assert [event.code for event in house.heard(events.MessageRefused)] == ["408"]
        assert asyncio.get_running_loop().time() - started < 4


async def test_a_sender_that_goes_away_in_the_middle_leaves_nothing_behind(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        _, writer = await asyncio.open_connection(home.base_url.host, home.base_url.port)
        writer.write(
            b"POST /ingest/home HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer all\r\n"
            b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{}"
        )
        await until(lambda: house.intake.inflight.bytes)
        writer.close()
        await until(lambda: not house.intake.inflight.bytes)
        assert await house.written("home") == []


async def test_429_while_too_much_is_on_its_way(postgres_url: str):
    async with doors(postgres_url, messages_max=1) as house, vendor(house) as home:
        async with house.stalled():
            first = asyncio.create_task(home.post("/ingest/home", content=b"{}", headers=JSON))
            await until(lambda: house.intake.inflight.messages)
            answer = await home.post("/ingest/home", content=b"{}", headers=JSON)
            problem(answer, 429)
            assert int(answer.headers["retry-after"]) >= 1
        assert (await first).status_code == 202
        assert (await home.post("/ingest/home", content=b"{}", headers=JSON)).status_code == 202


async def test_a_batch_greater_than_what_may_be_on_its_way_is_taken_all_the_same(postgres_url: str):
    async with doors(postgres_url, messages_max=10) as house, vendor(house) as home:
        answer = await home.post("/ingest/home", content=b"{}\n" * 1000, headers=LINES)
        assert len(answer.json()) == 1000
        assert len(await house.written("home")) == 1000


async def test_503_when_the_log_does_not_confirm(postgres_url: str):
    async with doors(postgres_url, ack_seconds_max=0.2) as house, vendor(house) as home:
        async with house.stalled():
            answer = await home.post("/ingest/home", content=b"{}", headers=JSON)
            problem(answer, 503)
            assert answer.headers["retry-after"]
        assert (await home.post("/ingest/home", content=b"{}", headers=JSON)).status_code == 202


def row(receipt: str, state: MessageState, **more) -> MessageRow:
    base = MessageRow("home", receipt, state, Position("raw.home", 0, 0), NOW, NOW, "kih", (), (), "")
    return MessageRow(**{name: more.get(name, getattr(base, name)) for name in MessageRow.__slots__})


async def test_a_receipt_tells_what_became_of_its_message(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        said = (await home.post("/ingest/home", content=b"{}", headers=JSON)).json()
        waiting = await home.get(said["status"])
        assert waiting.json() == {"state": "waiting", "resources": [], "reasons": []}
        assert waiting.headers["cache-control"] == "no-store"

        receipt = said["receipt"]
        house.rows[receipt] = row(receipt, MessageState.STORED, resources=("Observation/a", "Patient/b"))
        assert (await home.get(said["status"])).json() == {
            "state": "stored",
            "resources": ["Observation/a", "Patient/b"],
            "reasons": [],
        }
        why = Reason(RejectionCode.UNIT_UNKNOWN, "readings[0].unit", "no such unit")
        house.rows[receipt] = row(receipt, MessageState.REJECTED, reasons=(why,))
        assert (await home.get(said["status"])).json() == {
            "state": "rejected",
            "resources": [],
            "reasons": [why.as_json()],
        }
        first = house.receipts.new("home", NOW)
        house.rows[receipt] = row(receipt, MessageState.DUPLICATE, duplicate_of=first)
        assert (await home.get(said["status"])).json()["duplicate_of"] == f"/ingest/home/receipts/{first}"


async def test_a_reply_is_had_at_its_address_byte_for_byte(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        said = (await home.post("/ingest/home", content=b"{}", headers=JSON)).json()
        address = f"{said['status']}/acknowledgement"
        problem(await home.get(address), 404)
        house.rows[said["receipt"]] = row(
            said["receipt"],
            MessageState.STORED,
            reply=b'{"resourceType":"Bundle"}',
            reply_content_type="application/fhir+json",
        )
        assert (await home.get(said["status"])).json()["acknowledgement"] == address
        answer = await home.get(address)
        assert answer.content == b'{"resourceType":"Bundle"}'
        assert answer.headers["content-type"] == "application/fhir+json"


async def test_a_receipt_of_another_feed_or_of_nobody_is_404_and_without_the_right_403(postgres_url: str):
    async with doors(postgres_url) as house, vendor(house) as home:
        receipt = (await home.post("/ingest/home", content=b"{}", headers=JSON)).json()["receipt"]
        problem(await home.get(f"/ingest/hospital/receipts/{receipt}"), 404)
        problem(await home.get(f"/ingest/home/receipts/{receipt[:-1]}0{'1' if receipt[-1] == '0' else ''}"), 404)
        problem(await home.get("/ingest/home/receipts/2512489996"), 404)
        problem(await home.get(f"/ingest/home/receipts/{receipt}", headers={"authorization": "Bearer hospital"}), 403)
        problem(await home.get(f"/ingest/home/receipts/{receipt}", headers={"authorization": ""}), 401)
