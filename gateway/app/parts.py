"""Settings → parts. The one file that names the engines: which store, which backbone, which keys."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from gateway.app.feeds import id_secret, stations_of
from gateway.backbone.port import Backbone, TopicSpec, partition_of
from gateway.backbone.postgres import PostgresBackbone
from gateway.clock import Clock, SystemClock
from gateway.fhir.ids import Ids
from gateway.fhir.merge import merge
from gateway.observe import events
from gateway.search.index import extract
from gateway.settings import Settings
from gateway.store.grants import Grants
from gateway.store.order import OPENINGS
from gateway.store.port import Store
from gateway.store.postgres.grants import PostgresGrants
from gateway.store.postgres.sessions import PostgresSessions
from gateway.store.postgres.store import PostgresStore
from gateway.store.sessions import SessionStore
from gateway.translate import registry


@dataclass(slots=True)
class Parts:
    """Everything a role may be given."""

    settings: Settings
    ids: Ids
    stations: Mapping[str, registry.Station]
    store: Store
    grants: Grants
    backbone: Backbone
    tell: events.Tell
    clock: Clock
    database_url: str
    sessions: SessionStore

    @property
    def topics(self) -> dict[str, str]:
        """Return raw topic → feed."""
        return {f"raw.{name}": name for name in self.stations}


def backbone_of(settings: Settings, database_url: str) -> Backbone:
    """Return the backbone that the settings name: Kafka, or the log in the same PostgreSQL."""
    if settings.kafka:
        from gateway.backbone.kafka import KafkaBackbone  # noqa: PLC0415  its client takes a tenth of the start

        return KafkaBackbone(
            settings.kafka,
            topic_prefix=settings.kafka_prefix,
            replication_factor=settings.kafka_replication,
            min_insync_replicas=min(2, settings.kafka_replication),
            security_protocol=settings.kafka_security,
            ssl_ca_file=str(settings.kafka_ca or ""),
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=settings.kafka_user,
            sasl_password=settings.kafka_password,
        )
    return PostgresBackbone(database_url)


def store_of(settings: Settings, database_url: str) -> Store:
    """Return the store: PostgreSQL, always."""
    return PostgresStore(
        database_url,
        schema=settings.database_schema,
        extract=extract,
        merge=merge,
        outbox_partition=lambda key: partition_of(key.encode(), settings.partitions),
    )


@contextlib.asynccontextmanager
async def parts(settings: Settings, database_url: str, tell: events.Tell) -> AsyncIterator[Parts]:
    """Give the parts, started; stop them in the end. Raises Unavailable or Misconfigured when they cannot start."""
    store = store_of(settings, database_url)
    backbone = backbone_of(settings, database_url)
    grants = PostgresGrants(database_url, schema=settings.database_schema)
    stations = stations_of(settings)
    ids = Ids(id_secret(settings))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.stop)
        await store.start()
        stack.push_async_callback(grants.stop)
        await grants.start()
        stack.push_async_callback(backbone.stop)
        await backbone.start()
        await backbone.ensure(
            [
                TopicSpec(OPENINGS, 1),
                *(TopicSpec(f"raw.{name}", settings.partitions, settings.raw_retention_hours) for name in stations),
            ]
        )
        sessions = PostgresSessions(database_url, schema=settings.database_schema)
        stack.push_async_callback(sessions.stop)
        await sessions.start()
        yield Parts(settings, ids, stations, store, grants, backbone, tell, SystemClock(), database_url, sessions)
