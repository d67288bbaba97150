"""A gateway that is told to stop stops cleanly; a feed that goes wrong is stopped, waits for a person and goes on."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import pytest

from gateway.store.holding import RENEW_SECONDS
from tests.gateway import ROOT, Gateway
from tests.journeys.conftest import BACKBONES
from tests.load import Load
from tests.messages import People, adt, lines, reading
from tests.verdict import judge

STOPPED_SECONDS_MAX = 60


@pytest.mark.parametrize("backbone", BACKBONES)
async def test_sigterm_under_load_loses_nothing(tmp_path: Path, request: pytest.FixtureRequest, backbone: str) -> None:
    kafka = request.getfixturevalue("kafka_broker") if backbone == "kafka" else ""
    load = Load(3, 800)
    with Gateway(tmp_path, kafka=kafka, kafka_prefix=f"s{tmp_path.name[-20:]}." if kafka else "") as gateway:

        async def stop_and_start() -> None:
            await load.reached(load.count / 2)
            await asyncio.to_thread(gateway.stop)
            assert gateway.postgres_pid() == 0, "PostgreSQL was left behind"
            await asyncio.to_thread(gateway.start)

        async with asyncio.TaskGroup() as group:
            group.create_task(load.run(gateway))
            group.create_task(stop_and_start())
        await asyncio.to_thread(gateway.drained)
        figures = await asyncio.to_thread(judge, gateway, load)
        # A clean stop answers what it has taken: nothing had to be sent twice because of it.
        assert figures["duplicates"] == 0
        assert "crashed" not in gateway.printed()


def test_a_feed_that_is_mostly_rejected_stops_and_goes_on_when_told(tmp_path: Path) -> None:
    feed = (ROOT / "adapters/home_readings/feed.toml").read_text("utf-8")
    people = People(950)
    gateway = Gateway(tmp_path, translators=1)
    (gateway.feeds / "home.toml").write_text(feed.replace("rejection_window = 200", "rejection_window = 20"))
    with gateway:
        person = people.one()
        gateway.post(
            "home", lines([reading(person, kind="nonsense", value=n) for n in range(30)]), "application/x-ndjson"
        )
        until = time.monotonic() + STOPPED_SECONDS_MAX
        while not gateway.sql("select why from feed_stop where feed = 'home'"):
            assert time.monotonic() < until, gateway.last_words()
            time.sleep(0.05)
        time.sleep(RENEW_SECONDS + 1)  # what is being read at that moment is still translated
        status = gateway.post("home", json.dumps(reading(person)).encode()).json()["status"]
        assert gateway.sent("hospital", adt(person, "other"), "application/hl7-v2")["state"] == "stored"
        home = gateway.sums()["home"]
        assert home["waiting"] == 1
        assert home["stopped"] == "20 of the last 20 messages were rejected"
        assert gateway.get(status).json()["state"] == "waiting"

        gateway.stop()
        gateway.start()
        doctor = gateway.run("doctor")
        assert doctor.returncode == 1
        assert "home" in doctor.stdout.partition("stopped feeds:")[2]
        assert gateway.get(status).json()["state"] == "waiting"

        gateway.command("feeds", "--resume", "home")
        assert gateway.outcome(status)["state"] == "stored"
        home = gateway.sums()["home"]
        assert (home["stopped"], home["waiting"], home["difference"]) == ("", 0, 0)
