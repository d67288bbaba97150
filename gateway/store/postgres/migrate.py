"""Brings a schema to head: numbered .sql files, each in one transaction, written down in schema_version.

A schema is named by the settings: a new name is a new, empty store beside the old one (rebuild, then swap). Files are
never changed once released; the next change is the next number.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import Any

import asyncpg

from gateway.errors import Misconfigured

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_SCHEMA = re.compile(r"[a-z][a-z0-9_]{0,62}")
SERVER_MAJOR_MIN = 16


def files() -> list[tuple[int, str, str]]:
    """Return (number, file name, SQL) of every migration, in order. RuntimeError when numbers have gaps."""
    folder = resources.files("gateway.store.postgres").joinpath("migrations")
    named = sorted((file.name, file) for file in folder.iterdir() if _FILE.fullmatch(file.name))
    found = [(int(name[:4]), name, file.read_text("utf-8")) for name, file in named]
    if [number for number, _, _ in found] != list(range(1, len(found) + 1)):
        raise RuntimeError("migrations are numbered 0001, 0002, … without gaps")
    return found


async def to_head(connection: asyncpg.Connection[Any], schema: str) -> int:
    """Apply what is missing and return the schema's version. Several gateways may call it at once.

    Raises Misconfigured when the schema is newer than this program, or the server too old.
    """
    if not _SCHEMA.fullmatch(schema):
        raise Misconfigured("SUNDBRO_DATABASE_SCHEMA has small letters, digits and _, and starts with a letter")
    if (major := connection.get_server_version().major) < SERVER_MAJOR_MIN:
        raise Misconfigured(f"the database is PostgreSQL {major}; the store needs {SERVER_MAJOR_MIN} or later")
    wanted = files()
    await connection.execute("select pg_advisory_lock(hashtextextended($1, 0))", f"sundbro migrate {schema}")
    try:
        await connection.execute(f'create schema if not exists "{schema}"')
        await connection.execute(
            "create table if not exists schema_version "
            "(number integer primary key, file text not null, applied timestamptz not null default now())"
        )
        at: int = await connection.fetchval("select coalesce(max(number), 0) from schema_version")
        if at > len(wanted):
            raise Misconfigured(
                f"schema {schema} of the database is at version {at}, this program knows versions up to {len(wanted)}: "
                "run the newer program, or name another schema in SUNDBRO_DATABASE_SCHEMA"
            )
        for number, name, sql in wanted[at:]:
            async with connection.transaction():
                await connection.execute(sql)
                await connection.execute("insert into schema_version (number, file) values ($1, $2)", number, name)
    finally:
        if not connection.is_closed():
            await connection.execute("select pg_advisory_unlock_all()")
    return len(wanted)
