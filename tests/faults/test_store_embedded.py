"""The embedded PostgreSQL's life: start, lock, clean stop, kill -9 of the gateway, kill -9 of PostgreSQL."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest

from gateway.errors import Misconfigured, Unavailable
from gateway.store.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = """
import asyncio, sys
from pathlib import Path
import asyncpg
from gateway.store.embedded import EmbeddedPostgres

async def main():
    postgres = EmbeddedPostgres(Path(sys.argv[1]))
    connection = await asyncpg.connect(await postgres.start())
    await connection.execute("create table if not exists kept (n integer)")
    await connection.execute("insert into kept values (1)")
    print(postgres.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


@contextlib.asynccontextmanager
async def running(data: Path):
    postgres = EmbeddedPostgres(data)
    await postgres.start()
    try:
        yield postgres
    finally:
        await postgres.stop()


async def value(postgres: EmbeddedPostgres, sql: str) -> object:
    connection = await asyncpg.connect(postgres.url)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def until_it_answers(postgres: EmbeddedPostgres, sql: str, seconds: float = 60) -> object:
    end = time.monotonic() + seconds
    while True:
        try:
            return await value(postgres, sql)
        except (OSError, asyncpg.PostgresError):
            assert time.monotonic() < end, "the server did not come back"
            await asyncio.sleep(0.05)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def closed_to_others(place: Path) -> bool:
    return place.stat().st_mode & 0o077 == 0


def gateway_process(data: Path) -> tuple[subprocess.Popen[str], int]:
    process = subprocess.Popen(
        [sys.executable, "-c", GATEWAY, str(data)], stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True
    )
    assert process.stdout is not None
    return process, int(process.stdout.readline())


async def test_first_and_second_start_give_the_same_data_with_our_settings(tmp_path):
    async with running(tmp_path) as postgres:
        assert await value(postgres, "show fsync") == "on"
        assert await value(postgres, "show synchronous_commit") == "on"
        assert await value(postgres, "show data_checksums") == "on"
        assert await value(postgres, "show server_encoding") == "UTF8"
        assert await value(postgres, "show listen_addresses") == ""
        assert await value(postgres, "show jit") == "off"
        assert await value(postgres, "show max_wal_size") == "4GB"
        await value(postgres, "create table kept as select 42 as n")
        first = postgres.pid
    assert not alive(first)
    began = time.monotonic()
    async with running(tmp_path) as postgres:
        assert time.monotonic() - began < 3  # about 0.1 s on an idle machine
        assert await value(postgres, "select n from kept") == 42


async def test_only_the_owner_reaches_the_socket(tmp_path):
    async with running(tmp_path) as postgres:
        (socket,) = parse_qs(urlsplit(postgres.url).query)["host"]  # in the data folder, where its path is short enough
        assert closed_to_others(Path(socket))
        assert closed_to_others(tmp_path / "postgres")


async def test_a_second_gateway_on_the_folder_is_told_who_holds_it(tmp_path):
    async with running(tmp_path) as postgres:
        with pytest.raises(Misconfigured, match=f"process {os.getpid()}"):
            await EmbeddedPostgres(tmp_path).start()
        assert await value(postgres, "select 1") == 1


async def test_a_folder_of_another_major_version_is_refused_in_words(tmp_path):
    async with running(tmp_path):
        pass
    (tmp_path / "postgres" / "PG_VERSION").write_text("15\n")
    with pytest.raises(Misconfigured, match=r"made by PostgreSQL 15.*brings PostgreSQL 18"):
        await EmbeddedPostgres(tmp_path).start()
    (tmp_path / "postgres" / "PG_VERSION").write_text("18\n")
    async with running(tmp_path):  # refused, not left locked
        pass


async def test_a_cluster_whose_making_was_interrupted_is_made_anew(tmp_path):
    (tmp_path / "postgres.making").mkdir()
    (tmp_path / "postgres.making" / "PG_VERSION").write_text("18\n")
    async with running(tmp_path) as postgres:
        assert await value(postgres, "select 1") == 1


async def test_a_folder_with_a_long_name_gets_a_socket_elsewhere(tmp_path):
    data = tmp_path / ("d" * 90)
    async with running(data) as postgres:
        assert await value(postgres, "select 1") == 1
        assert "d" * 90 not in postgres.url


async def test_settings_that_postgresql_refuses_are_told_in_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr("gateway.store.embedded._START_ATTEMPTS_MAX", 2)
    tmp_path.joinpath("postgresql.local.conf").write_text("shared_buffers = 'much'\n")
    with pytest.raises(Unavailable, match="shared_buffers"):
        await EmbeddedPostgres(tmp_path).start()


async def test_an_operators_own_settings_are_read_last(tmp_path):
    tmp_path.joinpath("postgresql.local.conf").write_text("work_mem = 7MB\n")
    async with running(tmp_path) as postgres:
        assert await value(postgres, "show work_mem") == "7MB"


async def test_a_server_that_outlived_its_gateway_is_taken_over(tmp_path):
    process, server = gateway_process(tmp_path)
    process.kill()
    process.wait()
    assert alive(server)
    async with running(tmp_path) as postgres:
        assert postgres.pid == server
        assert await value(postgres, "select count(*) from kept") == 1
        os.kill(server, signal.SIGKILL)  # it is watched like one's own
        assert await until_it_answers(postgres, "select count(*) from kept") == 1
        assert postgres.pid != server
    assert not alive(postgres.pid) or postgres.pid == 0


async def test_a_killed_server_comes_back_with_what_was_committed(tmp_path):
    async with running(tmp_path) as postgres:
        await value(postgres, "create table kept as select 1 as n")
        for round_ in range(3):
            await value(postgres, f"insert into kept values ({round_ + 2})")
            killed = postgres.pid
            os.kill(killed, signal.SIGKILL)
            assert await until_it_answers(postgres, "select sum(n) from kept") == sum(range(1, round_ + 3))
            assert postgres.pid != killed


async def test_gateway_and_server_killed_together_start_again(tmp_path):
    process, server = gateway_process(tmp_path)
    process.kill()
    os.kill(server, signal.SIGKILL)
    process.wait()
    async with running(tmp_path) as postgres:
        assert await value(postgres, "select count(*) from kept") == 1


async def test_a_stale_pid_file_that_names_a_living_stranger_does_not_stop_the_start(tmp_path):
    async with running(tmp_path):
        pass
    stranger = await asyncio.to_thread(subprocess.Popen, ["sleep", "60"], start_new_session=True)
    try:
        pid_file = tmp_path / "postgres" / "postmaster.pid"
        pid_file.write_text(f"{stranger.pid}\n{tmp_path / 'postgres'}\n1700000000\n5432\n/tmp\n\n  0 0\nready   \n")
        async with running(tmp_path) as postgres:
            assert postgres.pid != stranger.pid
            assert await value(postgres, "select 1") == 1
        assert stranger.poll() is None  # and it is not harmed
    finally:
        stranger.kill()
        stranger.wait()


async def test_a_process_that_ends_by_an_exception_takes_its_server_along(tmp_path):
    script = GATEWAY.replace("await asyncio.sleep(600)", "raise SystemExit(3)")
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 3
    for _ in range(200):
        if not alive(int(done.stdout)):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the server is still there")
