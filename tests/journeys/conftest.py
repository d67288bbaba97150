"""`gateway`: a whole gateway for the journeys, one on the embedded backbone and one on real Kafka, each for the whole run.

Journeys share it, so each takes persons of its own. What it printed, measured and traced is searched for their numbers
in the end.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from tests.gateway import Gateway
from tests.messages import People, Person
from tests.otlp import Collector
from tests.told import told_about

BACKBONES = ["embedded", pytest.param("kafka", marks=pytest.mark.kafka)]
EMBEDDED_ALONE = pytest.mark.parametrize("gateway", ["embedded"], indirect=True)
"""Of journeys that have nothing to do with the backbone."""


@pytest.fixture(scope="session")
def people() -> People:
    return People()


@pytest.fixture
def person(people: People) -> Person:
    return people.one()


@pytest.fixture(scope="session")
def collector() -> Iterator[Collector]:
    with Collector() as listening:
        yield listening


@pytest.fixture(scope="session", params=BACKBONES)
def gateway(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, people: People, collector: Collector
) -> Iterator[Gateway]:
    kafka = request.getfixturevalue("kafka_broker") if request.param == "kafka" else ""
    folder = tmp_path_factory.mktemp("gateway")
    prefix = f"j{secrets.token_hex(4)}." if kafka else ""
    running = Gateway(folder, kafka=kafka, kafka_prefix=prefix, otlp=collector.address, trace_ratio=0)
    running.environment["OTEL_BSP_SCHEDULE_DELAY"] = "200"  # milliseconds until a span is exported
    with running:
        yield running
        leaked = told_about(people.all, running, collector.bodies)
        assert not leaked, leaked
