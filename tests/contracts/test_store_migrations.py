"""The schema: made once whoever comes first, never run by a program that is older than it."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from gateway.errors import Misconfigured
from gateway.store.postgres import migrate
from tests.contracts.stores import batch, message, observation, open_store, raw, write


async def test_gateways_that_start_together_make_the_schema_once(database):
    async with contextlib.AsyncExitStack() as stack, raw(database.url) as connection:
        await connection.execute("drop schema if exists together cascade")
        await asyncio.gather(
            *(stack.enter_async_context(open_store(database.url, schema="together")) for _ in range(4))
        )
        rows = await connection.fetch("select number, file from together.schema_version order by number")
        assert [(row["number"], row["file"]) for row in rows] == [(n, name) for n, name, _ in migrate.files()]


async def test_a_database_newer_than_the_program_is_refused(database):
    async with open_store(database.url) as store:
        async with raw(database.url, store._schema) as connection:
            await connection.execute("insert into schema_version (number, file) values (9999, 'of tomorrow')")
        with pytest.raises(Misconfigured, match="newer program"):
            async with open_store(database.url, schema=store._schema):
                pass


async def test_a_migration_that_fails_leaves_nothing_behind(database, monkeypatch):
    good = migrate.files()
    broken = (len(good) + 1, "9999_broken.sql", "create table half (a int); select 1/0")
    async with open_store(database.url) as store:
        monkeypatch.setattr(migrate, "files", lambda: [*good, broken])
        with pytest.raises(Exception, match="division by zero"):
            async with open_store(database.url, schema=store._schema):
                pass
        async with raw(database.url, store._schema) as connection:
            assert await connection.fetchval("select to_regclass('half')") is None
            assert await connection.fetchval("select max(number) from schema_version") == len(good)


@pytest.mark.parametrize("schema", ["user", "order", "a1_b"])
async def test_schemas_stand_beside_one_another_whatever_they_are_called(database, schema):
    async with (
        open_store(database.url, schema=schema) as green,
        open_store(database.url) as blue,
        raw(database.url) as connection,
    ):
        await green.apply(batch(message(write(observation("a")))))
        assert await blue.read("Observation", "a") is None
        assert await green.read("Observation", "a") is not None
        await green.stop()
        await connection.execute(f'drop schema "{schema}" cascade')


@pytest.mark.parametrize("schema", ["Big", "1a", "a-b", 'a"; drop schema public', ""])
async def test_a_schema_name_that_is_no_plain_name_is_refused(database, schema):
    async with raw(database.url) as connection:
        with pytest.raises(Misconfigured):
            await migrate.to_head(connection, schema)
