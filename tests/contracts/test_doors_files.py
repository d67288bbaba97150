"""The watched folder's promises, on a real folder and a real log."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import secrets
import signal
from pathlib import Path

import pytest

from gateway.observe import events
from gateway.receive import files
from gateway.receive.files import FilesDoor
from tests.contracts.doors import HOME, HOSPITAL, Doors, doors, feed_with, message, until


def door(house: Doors, drop: Path, **more) -> FilesDoor:
    return FilesDoor(house.intake, drop=drop, tell=house.told.append, **{"look_seconds": 0.02, **more})


def put(folder: Path, name: str, body: bytes) -> Path:
    """Put a file the safe way: write it under another name, then rename it in."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{name}").write_bytes(body)
    return (folder / f".{name}").rename(folder / name)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_file_becomes_durable_and_is_moved_to_done_with_its_receipts(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        put(tmp_path / "hospital", "adt.hl7", message("1"))
        watching = door(house, tmp_path)
        assert await watching.look() == 0  # it may still be growing
        assert await watching.look() == 1
        (raw,) = await house.written()
        assert (raw.body, raw.content_type, raw.sender) == (message("1"), "application/hl7-v2", "files/hospital")
        done = tmp_path / "hospital" / "done"
        assert names(done) == ["adt.hl7", "adt.hl7.receipts.json"]
        assert (done / "adt.hl7").read_bytes() == message("1")
        note = json.loads((done / "adt.hl7.receipts.json").read_bytes())
        assert note == [{"receipt": raw.receipt, "status": f"/ingest/hospital/receipts/{raw.receipt}"}]
        assert house.heard(events.FileTaken) == [events.FileTaken("hospital", "done", 1)]
        assert names(tmp_path / "hospital") == ["done", "failed"]


async def test_a_file_that_still_grows_is_left_alone(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        path = put(tmp_path / "home", "r.ndjson", b"{}\n")
        watching = door(house, tmp_path)
        for _ in range(3):
            await watching.look()
            with path.open("ab") as file:
                file.write(b"{}\n")
        assert await house.written("home") == []
        await watching.look()
        await watching.look()
        assert len(await house.written("home")) == 4


@pytest.mark.parametrize("name", [".hidden.hl7", "adt.hl7.part", "adt.hl7.TMP", "adt.hl7.filepart", "adt.partial"])
async def test_names_of_incomplete_files_are_left_alone(postgres_url: str, tmp_path: Path, name: str):
    async with doors(postgres_url) as house:
        put(tmp_path / "hospital", name, message("1"))
        watching = door(house, tmp_path)
        assert [await watching.look() for _ in range(3)] == [0, 0, 0]
        assert (tmp_path / "hospital" / name).exists()


async def test_batches_are_split_and_a_bad_line_is_told_in_its_place(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        put(tmp_path / "hospital", "batch.hl7", b"BHS|^~\\&\r" + message("1") + message("2") + b"BTS|2\r")
        put(tmp_path / "home", "readings.jsonl", b'{"n": 1}\nnot json\n{"n": 2}\n')
        watching = door(house, tmp_path)
        await watching.look()
        assert await watching.look() == 2
        assert {raw.control_id for raw in await house.written()} == {"1", "2"}
        assert len(await house.written("home")) == 2
        note = json.loads((tmp_path / "home" / "done" / "readings.jsonl.receipts.json").read_bytes())
        assert ["receipt" in note[0], note[1]["state"], "receipt" in note[2]] == [True, "refused", True]


@pytest.mark.parametrize(
    ("name", "body", "status"),
    [
        ("hello.hl7", b"hello", 422),
        ("empty.hl7", b"", 422),
        ("scan.pdf", b"%PDF", 415),
        ("big.hl7", message("1", text="x" * (300 << 10)), 413),
        ("bigger.hl7", b"x" * (2 << 20), 413),
    ],
)
async def test_what_cannot_be_taken_is_moved_to_failed_with_its_problem(
    postgres_url: str, tmp_path: Path, name: str, body: bytes, status: int
):
    async with doors(postgres_url) as house:
        put(tmp_path / "hospital", name, body)
        put(tmp_path / "hospital", "zgood.hl7", message("2"))
        watching = door(house, tmp_path, bytes_max=1 << 20)
        await watching.look()
        await watching.look()
        failed = tmp_path / "hospital" / "failed"
        assert names(failed) == [name, f"{name}.problem.json"]
        assert (failed / name).read_bytes() == body
        assert json.loads((failed / f"{name}.problem.json").read_bytes())["status"] == status
        assert [raw.control_id for raw in await house.written()] == ["2"]
        assert events.FileTaken("hospital", "failed", 0) in house.told
        assert [event.code for event in house.heard(events.MessageRefused)] == [str(status)]


async def test_files_are_taken_in_the_order_of_their_times(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        for number, name in enumerate(("c.hl7", "a.hl7", "b.hl7")):
            path = put(tmp_path / "hospital", name, message(name))
            os.utime(path, (1000 + number, 1000 + number))
        watching = door(house, tmp_path)
        await watching.look()
        await watching.look()
        assert [raw.control_id for raw in await house.written()] == ["c.hl7", "a.hl7", "b.hl7"]


async def test_the_same_name_again_overwrites_nothing(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        watching = door(house, tmp_path)
        for control_id in ("1", "2"):
            put(tmp_path / "hospital", "adt.hl7", message(control_id))
            await watching.look()
            await watching.look()
        done = tmp_path / "hospital" / "done"
        assert names(done) == ["adt.1.hl7", "adt.1.hl7.receipts.json", "adt.hl7", "adt.hl7.receipts.json"]
        assert (done / "adt.hl7").read_bytes() == message("1")
        assert (done / "adt.1.hl7").read_bytes() == message("2")


async def test_a_link_is_not_followed(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        secret = put(tmp_path / "elsewhere", "secret.hl7", message("1"))
        (tmp_path / "hospital").mkdir()
        (tmp_path / "hospital" / "link.hl7").symlink_to(secret)
        watching = door(house, tmp_path)
        await watching.look()
        await watching.look()
        assert await house.written() == []
        assert secret.exists()


async def test_a_feed_without_this_door_has_no_folder(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url, feed_with(HOSPITAL, doors=("mllp",)), HOME) as house:
        await door(house, tmp_path).look()
        assert names(tmp_path) == ["home"]


async def test_while_the_log_is_away_the_file_stays_and_is_taken_later(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url, ack_seconds_max=0.1) as house:
        path = put(tmp_path / "hospital", "adt.hl7", message("1"))
        watching = asyncio.create_task(door(house, tmp_path).run())
        try:
            async with house.stalled():
                await until(lambda: house.heard(events.PartUnavailable))
                assert path.exists()
            await until(lambda: not path.exists())
        finally:
            watching.cancel()
        assert {raw.control_id for raw in await house.written()} == {"1"}


async def test_a_fault_of_ours_stops_one_file_and_no_other(postgres_url: str, tmp_path: Path):
    async with doors(postgres_url) as house:
        put(tmp_path / "home", "a.json", b'{"bug": true}')
        put(tmp_path / "home", "b.json", b"{}")
        watching = door(house, tmp_path)
        await watching.look()
        assert [await watching.look(), await watching.look()] == [2, 0]
        assert (tmp_path / "home" / "a.json").exists()
        assert len(await house.written("home")) == 1
        (crash,) = house.heard(events.RoleCrashed)
        assert crash.error.startswith("ZeroDivisionError at split_json")


def _dies_before_the_move(url: str, schema: str, drop: Path) -> None:
    """A gateway that is killed between durable and moved."""

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    async def run() -> None:
        async with doors(url, schema=schema) as house:
            files._move = die
            watching = door(house, drop)
            await watching.look()
            await watching.look()

    asyncio.run(run())


async def test_killed_between_durable_and_moved_nothing_is_lost_and_the_same_bytes_come_again(
    postgres_url: str, tmp_path: Path
):
    path = put(tmp_path / "hospital", "adt.hl7", message("1"))
    schema = f"doors_{secrets.token_hex(4)}"
    process = multiprocessing.get_context("spawn").Process(
        target=_dies_before_the_move, args=(postgres_url, schema, tmp_path)
    )
    process.start()
    await asyncio.to_thread(process.join, 30)
    assert process.exitcode == -signal.SIGKILL
    assert path.exists()
    async with doors(postgres_url, schema=schema) as house:
        assert [raw.body for raw in await house.written()] == [message("1")]
        watching = door(house, tmp_path)
        await watching.look()
        await watching.look()
        first, second = await house.written()
        assert first.body == second.body  # the store sees one letter and drops the second
        assert first.receipt != second.receipt
        assert names(tmp_path / "hospital" / "done") == ["adt.hl7", "adt.hl7.receipts.json"]
