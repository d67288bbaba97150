"""`kafka_broker` (an address) and `kafka_process` (the broker itself, to kill): one real Apache Kafka for the whole run.

Where there is none the tests that ask for it are skipped with the reason, and fail in CI. At the end of the run it is
said plainly which suites ran on real Kafka and which did not.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter, defaultdict
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.kafka.broker import Broker, existing
from tests.kafka.jars import NoBrokerError, kafka_version


class Telling:
    """What the run knows about real Kafka, for the summary."""

    def __init__(self) -> None:
        self.broker = ""
        self.suites: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.reasons: defaultdict[str, set[str]] = defaultdict(set)


TELLING = Telling()


def missing(why: str) -> None:
    """Skip, saying why; in CI a missing broker is a failure."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(f"no real Kafka in CI: {why}", pytrace=False)
    pytest.skip(f"NOT RUN on real Kafka: {why}")


def _run(work: Coroutine[Any, Any, None]) -> None:
    """Run to the end in a loop of its own: a fixture may be asked for while a test's loop is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


@pytest.fixture(scope="session")
def _kafka() -> Iterator[Broker | str]:
    """The broker that this run started, the address of one that exists, or (`str`) nothing but a reason."""
    if existing():
        TELLING.broker = f"the broker at {existing()} (SUNDBRO_TEST_KAFKA)"
        yield ""
        return
    broker = Broker()
    try:
        _run(broker.start())
    except NoBrokerError as failure:
        broker.remove()
        yield str(failure)
        return
    except BaseException:
        broker.remove()
        raise
    TELLING.broker = f"Apache Kafka {kafka_version()}, started by the tests"
    try:
        yield broker
    finally:
        _run(broker.stop())
        broker.remove()


@pytest.fixture(scope="session")
def kafka_broker(_kafka: Broker | str) -> str:
    """Bootstrap address of a real broker."""
    if isinstance(_kafka, Broker):
        return _kafka.address
    if _kafka:
        missing(_kafka)
    return existing()


@pytest.fixture
def kafka_process(_kafka: Broker | str) -> Broker:
    """The broker as a process of ours, which a test may kill and must start again."""
    if not isinstance(_kafka, Broker):
        missing(_kafka or "the broker of SUNDBRO_TEST_KAFKA is not ours to kill")
    assert isinstance(_kafka, Broker)
    return _kafka


def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Whoever asks for the broker is marked `kafka`."""
    for item in items:
        if {"kafka_broker", "kafka_process"} & set(item.fixturenames):
            item.add_marker(pytest.mark.kafka)


def pytest_runtest_logreport(report: Any) -> None:
    if "kafka" not in report.keywords:
        return
    suite = report.nodeid.split("::")[0]
    if report.when == "call":
        TELLING.suites[suite][report.outcome] += 1
    elif not report.passed:
        TELLING.suites[suite]["skipped" if report.skipped else "could not start"] += 1
    if report.skipped and isinstance(report.longrepr, tuple):
        TELLING.reasons[suite].add(report.longrepr[2].removeprefix("Skipped: "))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    terminalreporter.section("real Kafka")
    if not TELLING.suites:
        terminalreporter.line("no suite of this run asks for it")
    for suite, outcomes in sorted(TELLING.suites.items()):
        counts = ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
        broker = TELLING.broker or f"brokers of its own, Apache Kafka {kafka_version()}"
        ran = f"ran on {broker}" if outcomes["passed"] + outcomes["failed"] else "NOT RUN"
        terminalreporter.line(f"{suite}: {ran} ({counts})")
        for reason in sorted(TELLING.reasons[suite]):
            terminalreporter.line(f"    {reason}")
