"""What the tests of the doors share: real doors on a real log in a real PostgreSQL, and senders with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

import asyncpg
import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request

from gateway import errors
from gateway.backbone.port import TopicSpec
from gateway.backbone.postgres import PostgresBackbone
from gateway.clock import SystemClock
from gateway.fhir.ids import Ids
from gateway.formats import er7, mllp
from gateway.model import Feed, PersonKey, Piece, RawMessage
from gateway.observe import events
from gateway.receive import http_body
from gateway.receive.http import HttpDoor
from gateway.receive.intake import Inlet, Intake, Limits
from gateway.receive.mllp import Listener, MllpDoor
from gateway.receive.mllp_connection import Limits as MllpLimits
from gateway.receive.receipts import Receipts
from gateway.store.port import MessageRow

SECRET = b"a secret for tests only, 32 byte"
PARTITIONS = 4

HOSPITAL = Feed(
    name="hospital",
    format="er7",
    doors=("mllp", "http", "files"),
    content_types=("application/hl7-v2", "text/plain"),
    message_bytes_max=256 << 10,
)
HOME = Feed(
    name="home",
    format="json",
    doors=("http", "files"),
    content_types=("application/json",),
    message_bytes_max=64 << 10,
)


def split_er7(body: bytes, content_type: str, feed: Feed) -> list[Piece]:
    """The door's look at ER7: enough of PID-3 for a lane."""
    if b"|BUG|" in body:
        raise ZeroDivisionError
    pieces = []
    for message in er7.split_batch(body):
        pid = next((line for line in message.split(b"\r") if line.startswith(b"PID")), b"")
        number = (pid.split(b"|") + [b""] * 4)[3].split(b"^")[0].decode("latin-1")
        person = PersonKey("urn:oid:1.2.208.176.1.2", number) if number else None
        pieces.append(Piece(message, person, er7.peek(message).control_id.decode("latin-1")))
    return pieces


def split_json(body: bytes, content_type: str, feed: Feed) -> list[Piece]:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.Unprocessable("not JSON", at="line 1") from None
    if not isinstance(value, dict | list):
        raise errors.Unprocessable("neither an object nor a list")
    if isinstance(value, list):
        return [Piece(orjson.dumps(one)) for one in value]
    if value.get("bug"):
        raise ZeroDivisionError
    return [Piece(body, PersonKey("urn:test", str(value["person"])) if "person" in value else None)]


SPLITS = {"er7": split_er7, "json": split_json}


def message(control_id: str = "1", *, person: str = "2512489996", text: str = "", **fields: str) -> bytes:
    """An ORU with a person; keyword arguments like `msh15="AL"` set fields of MSH."""
    msh = ["MSH", "^~\\&", "LIS", "OUH", "SUNDBRO", "REGION", "20261122100000", "", "ORU^R01^ORU_R01", control_id]
    msh += ["P", "2.5.1", "", "", "", "", "", "UNICODE UTF-8"]
    for name, value in fields.items():
        msh[int(name.removeprefix("msh")) - 1] = value
    lines = ["|".join(msh), f"PID|1||{person}^^^CPR||Testesen^Åse", f"OBX|1|TX|x||{text}||||||F"]
    return "\r".join([*lines, ""]).encode()


@dataclass
class Doors:
    """A gateway that has only doors and a log."""

    intake: Intake
    backbone: PostgresBackbone
    receipts: Receipts
    told: list[events.Observation] = field(default_factory=list)
    rows: dict[str, MessageRow] = field(default_factory=dict)
    """What the receipts' messages became: the part of the store, which has a suite of its own."""
    url: str = ""
    schema: str = ""
    mllp: MllpDoor | None = None
    stack: contextlib.AsyncExitStack = field(default_factory=contextlib.AsyncExitStack)

    def heard(self, kind: type[events.Observation]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]

    async def written(self, feed: str = "hospital") -> list[RawMessage]:
        """Everything on a feed's raw topic, in the order of its partitions."""
        topic = f"raw.{feed}"
        wants = {(topic, number): 0 for number in range(PARTITIONS)}
        found: list[RawMessage] = []
        while True:
            some = await self.backbone.fetch(wants, records_max=5000, wait_seconds=0)
            if not some:
                return found
            for one in some:
                found.append(RawMessage.from_record(one.record))
                wants[(topic, one.position.partition)] = one.position.offset + 1

    @contextlib.asynccontextmanager
    async def stalled(self) -> AsyncIterator[None]:
        """The log takes nothing: somebody holds a lock on its heads."""
        connection = await asyncpg.connect(self.url)
        try:
            async with connection.transaction():
                await connection.execute(f"lock table {self.schema}.head in access exclusive mode")
                yield
        finally:
            await connection.close()

    async def outcome(self, receipt: str, seconds: float) -> MessageRow | None:
        async with asyncio.timeout(seconds):
            await until(lambda: receipt in self.rows)
        return self.rows[receipt]

    async def open_mllp(self, *listeners: Listener, **limits: Any) -> tuple[str, int]:
        self.mllp = MllpDoor(
            self.intake,
            listeners=listeners or (Listener("127.0.0.1", 0),),
            outcome=self.outcome,
            tell=self.told.append,
            limits=MllpLimits(**{"stop_seconds": 3.0, **limits}),
        )
        await self.mllp.start()
        self.stack.push_async_callback(self.mllp.stop)
        return self.mllp.addresses[0]

    async def open_http(self, authorise: Callable[[Request], Awaitable[Any]], **limits: Any) -> str:
        async def ask(receipt: str) -> MessageRow | None:
            return self.rows.get(receipt)

        door = HttpDoor(
            self.intake,
            receipts=self.receipts,
            ask=ask,
            authorise=authorise,
            tell=self.told.append,
            limits=http_body.Limits(**limits),
        )
        server = uvicorn.Server(
            uvicorn.Config(Starlette(routes=door.routes()), "127.0.0.1", 0, log_level="error", lifespan="off")
        )
        serving = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]

        async def close() -> None:
            server.should_exit = True
            server.force_exit = True
            await serving

        self.stack.push_async_callback(close)
        return f"http://127.0.0.1:{port}"


@contextlib.asynccontextmanager
async def doors(url: str, *feeds: Feed, schema: str = "", **limits: Any) -> AsyncIterator[Doors]:
    """`schema` names a log to come back to; it must begin with `doors_`. Without it the log is new and goes away."""
    kept = bool(schema)
    schema = schema or f"doors_{secrets.token_hex(4)}"
    backbone = PostgresBackbone(url, schema=schema)
    await backbone.start()
    feeds = feeds or (HOSPITAL, HOME)
    try:
        await backbone.ensure([TopicSpec(f"raw.{feed.name}", PARTITIONS) for feed in feeds])
        told: list[events.Observation] = []
        receipts = Receipts(SECRET)
        intake = Intake(
            [Inlet(feed, SPLITS[feed.format]) for feed in feeds],
            backbone=backbone,
            ids=Ids(SECRET),
            receipts=receipts,
            clock=SystemClock(),
            tell=told.append,
            limits=Limits(**limits),
        )
        made = Doors(intake, backbone, receipts, told, url=url, schema=schema)
        async with made.stack:
            yield made
    finally:
        await backbone.stop()
        if not kept:
            with contextlib.suppress(OSError, asyncpg.PostgresError):
                connection = await asyncpg.connect(url)
                await connection.execute(f"drop schema if exists {schema} cascade")
                await connection.close()


def feed_with(feed: Feed, **options: Any) -> Feed:
    """A feed with other options; names of its own fields set those."""
    own = {name: options.pop(name) for name in list(options) if name in Feed.__slots__}
    return replace(feed, options={**feed.options, **options}, **own)


async def until(so: Callable[[], object], seconds: float = 10.0) -> None:
    """Return when it is so."""
    async with asyncio.timeout(seconds):
        while not so():
            await asyncio.sleep(0.005)


class Sender:
    """A sender's side of MLLP."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._decoder = mllp.Decoder(64 << 20)
        self._frames: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writer.write(data)

    def send(self, *payloads: bytes) -> None:
        self.write(b"".join(map(mllp.frame, payloads)))

    async def answer(self, seconds: float = 10.0) -> bytes:
        """The next block that comes. EOFError when the gateway has closed the connection."""
        async with asyncio.timeout(seconds):
            while not self._frames:
                data = await self.reader.read(1 << 20)
                if not data:
                    raise EOFError
                self._frames += [f.payload for f in self._decoder.feed(data) if isinstance(f, mllp.Frame)]
        return self._frames.pop(0)

    async def ask(self, payload: bytes) -> tuple[str, str]:
        """Send one message, return code and control id of its answer."""
        self.send(payload)
        return verdict(await self.answer())

    async def closed(self, seconds: float = 10.0) -> None:
        """Return when the gateway has closed the connection without another answer."""
        try:
            found = await self.answer(seconds)
        except (EOFError, ConnectionError):
            return
        raise AssertionError(found)


@contextlib.asynccontextmanager
async def sender(address: tuple[str, int], **options: Any) -> AsyncIterator[Sender]:
    reader, writer = await asyncio.open_connection(*address, **options)
    try:
        yield Sender(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def segment(answer: bytes, name: str) -> list[str]:
    """Fields of the first segment of that name, [] when there is none."""
    return next((line.split("|") for line in answer.decode("latin-1").split("\r") if line.startswith(name)), [])


def verdict(answer: bytes) -> tuple[str, str]:
    """MSA-1 and MSA-2."""
    return tuple(segment(answer, "MSA")[1:3])  # type: ignore[return-value]


def condition(answer: bytes) -> str:
    """ERR-3.1, a code of table 0357."""
    return (segment(answer, "ERR") + [""] * 4)[3].split("^")[0]
