"""The two backbones for the conformance suite: each test gets a log of its own, and as many clients of it as it asks for."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator, Callable
from typing import Any

import asyncpg

from gateway.backbone.kafka import KafkaBackbone
from gateway.backbone.port import Backbone
from gateway.backbone.postgres import PostgresBackbone


class House:
    """A log, and the clients (one is one process of the gateway) that a test opens on it."""

    def __init__(self, kind: str, make: Callable[..., Backbone]) -> None:
        self.kind = kind
        self._make = make
        self._clients = contextlib.AsyncExitStack()

    async def client(self, **settings: Any) -> Any:
        client = self._make(**settings)
        await client.start()
        self._clients.push_async_callback(client.stop)
        return client

    async def close(self) -> None:
        await self._clients.aclose()


@contextlib.asynccontextmanager
async def postgres_house(url: str) -> AsyncIterator[House]:
    schema = f"backbone_{secrets.token_hex(4)}"
    house = House("postgres", lambda **settings: PostgresBackbone(url, schema=schema, **settings))
    try:
        yield house
    finally:
        await house.close()
        with contextlib.suppress(OSError, asyncpg.PostgresError):
            connection = await asyncpg.connect(url)
            await connection.execute(f"drop schema if exists {schema} cascade")
            await connection.close()


@contextlib.asynccontextmanager
async def kafka_house(address: str, *, replicas: int = 1) -> AsyncIterator[House]:
    prefix = f"t{secrets.token_hex(4)}."

    def make(**settings: Any) -> KafkaBackbone:
        return KafkaBackbone(
            address,
            topic_prefix=prefix,
            replication_factor=replicas,
            min_insync_replicas=max(1, replicas - 1),
            **settings,
        )

    house = House("kafka", make)
    try:
        yield house
    finally:
        await house.close()
