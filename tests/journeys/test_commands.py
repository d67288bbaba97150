"""The commands beside a running gateway print what the README says, and exit as they say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.gateway import FEEDS, ROOT, Gateway
from tests.journeys.conftest import EMBEDDED_ALONE
from tests.messages import Person, adt, lines, nobody, reading


def written(folder: Path, name: str, body: bytes) -> str:
    path = folder / name
    path.write_bytes(body)
    return str(path)


@EMBEDDED_ALONE
def test_translate_prints_the_resources_or_the_rejection_and_stores_nothing(
    gateway: Gateway, person: Person, tmp_path: Path
) -> None:
    good = written(tmp_path, "good.hl7", adt(person, "t1"))
    bad = written(tmp_path, "bad.hl7", nobody("t2"))
    before = gateway.sql("select count(*) from message")
    first, second = gateway.lines("translate", "hospital", good, bad)
    assert first["file"] == good
    assert "Patient" in {resource["resourceType"] for resource in first["resources"]}
    assert second["file"] == bad
    assert second["rejected"][0]["code"] == "identity-missing"
    assert set(second["rejected"][0]) == {"code", "at", "text"}
    assert gateway.sql("select count(*) from message") == before


@EMBEDDED_ALONE
def test_translate_gives_the_ids_that_the_gateway_gives(gateway: Gateway, person: Person, tmp_path: Path) -> None:
    body = json.dumps(reading(person)).encode()
    stored = gateway.sent("home", body)["resources"]
    (told,) = gateway.lines("translate", "home", written(tmp_path, "reading.json", body))
    assert {f"{one['resourceType']}/{one['id']}" for one in told["resources"]} == set(stored)


@EMBEDDED_ALONE
@pytest.mark.parametrize("feed", FEEDS)
def test_translate_takes_every_sample_that_comes_with_a_format(gateway: Gateway, feed: str) -> None:
    (folder,) = (path.parent for path in ROOT.glob("adapters/*/feed.toml") if f'\nname = "{feed}"' in path.read_text())
    samples = [str(path) for path in sorted((folder / "samples").iterdir()) if ".expected." not in path.name]
    told = gateway.lines("translate", feed, *samples)
    assert {one["file"] for one in told} == set(samples)
    assert all(one.get("resources") or one.get("rejected") for one in told)


@EMBEDDED_ALONE
def test_send_goes_through_the_real_doors_and_tells_what_became_of_each(
    gateway: Gateway, person: Person, tmp_path: Path
) -> None:
    by_mllp = gateway.lines("send", "hospital", written(tmp_path, "a.hl7", adt(person, "send-1")))
    assert [one["ack"] for one in by_mllp] == ["AA"]
    batch = lines([reading(person, value=70), reading(person, kind="nonsense")])
    first, second = gateway.lines("send", "home", written(tmp_path, "b.ndjson", batch))
    assert (first["state"], second["state"]) == ("stored", "rejected")
    refused = gateway.run("send", "home", written(tmp_path, "c.json", b"this is not JSON"))
    assert refused.returncode == 1
    assert json.loads(refused.stdout)["status"] == 422


@EMBEDDED_ALONE
def test_feeds_counts_every_message(gateway: Gateway) -> None:
    gateway.drained()
    sums = gateway.sums()
    assert set(FEEDS) <= set(sums)
    assert all(one["difference"] == 0 and not one["stopped"] for one in sums.values())
    told = gateway.command("feeds")
    assert all(feed in told for feed in FEEDS)


@EMBEDDED_ALONE
def test_tokens_open_what_their_actor_may_and_nothing_else(gateway: Gateway, person: Person) -> None:
    body = json.dumps(reading(person)).encode()
    actors = gateway.token("--list")
    assert "reader" in actors
    assert "device-vendor" in actors
    with gateway.client(gateway.token("--as", "reader")) as reader:
        assert reader.get("/fhir/Patient?_count=1").status_code == 200
        assert (
            reader.post("/ingest/home", content=body, headers={"content-type": "application/json"}).status_code == 403
        )
    with gateway.client(gateway.token("--as", "device-vendor")) as vendor:
        assert (
            vendor.post("/ingest/home", content=body, headers={"content-type": "application/json"}).status_code == 202
        )
        assert vendor.get("/fhir/Patient?_count=1").status_code == 403
        assert vendor.post("/ingest/municipal", content=b"{}").status_code == 403
    with gateway.client(gateway.token("--scope", "system/Observation.rs")) as narrow:
        assert narrow.get("/fhir/Observation?_count=1").status_code == 200
        assert narrow.get("/fhir/Patient?_count=1").status_code == 403
    assert gateway.run("token", "--as", "nobody").returncode == 2


@EMBEDDED_ALONE
def test_doctor_finds_a_running_gateway_well(gateway: Gateway) -> None:
    told = gateway.command("doctor")
    assert "NOT" not in told
    assert f"runs at {gateway.http}" in told
    assert "SUNDBRO_MLLP" in told


@EMBEDDED_ALONE
def test_doctor_says_what_is_wrong(gateway: Gateway) -> None:
    done = gateway.run("doctor", settings={"parttions": "4"})
    assert done.returncode == 1
    assert "parttions" in done.stdout.lower()


@EMBEDDED_ALONE
def test_an_unknown_feed_is_named_with_those_there_are(gateway: Gateway) -> None:
    for arguments in (("rejected", "nowhere"), ("replay", "nowhere", "--dry-run"), ("feeds", "--resume", "nowhere")):
        done = gateway.run(*arguments)
        assert done.returncode == 2
        assert "home, hospital, municipal" in done.stderr


def test_the_demo_feeds_itself_and_its_sum_adds_up(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path)
    try:
        done = gateway.run("demo", "--seconds", "4", "--citizens", "50", "--rate", "30")
        assert done.returncode == 0, done.stdout + done.stderr
        assert "the sum adds up" in done.stdout
        assert all(feed in done.stdout for feed in FEEDS)
        assert f"curl -s http://{gateway.http}/fhir/metadata" in done.stdout
        assert not gateway.family()
        assert not gateway.postgres_pid()
    finally:
        gateway.remove()


def test_send_says_what_it_cannot_send_before_it_sends_anything(gateway: Gateway, tmp_path: Path) -> None:
    missing = gateway.run("send", "hospital", str(tmp_path / "missing.hl7"))
    folder = gateway.run("send", "home", str(tmp_path))
    closed = gateway.run("send", "home", "--mllp", written(tmp_path, "door.json", b"{}"))
    for told, word in ((missing, "missing.hl7"), (folder, "not a file"), (closed, "takes nothing through mllp")):
        assert told.returncode == 2
        assert word in told.stderr
        assert "Traceback" not in told.stderr


def test_a_second_gateway_on_the_same_folder_is_refused_and_leaves_the_numbers_of_the_first_alone(
    gateway: Gateway,
) -> None:
    (numbers,) = (gateway.data / "run").glob("*/metrics")
    before = {path.name for path in numbers.iterdir()}
    second = gateway.run("up")
    assert second.returncode == 2
    assert "in use by process" in second.stderr
    assert before
    assert before <= {path.name for path in numbers.iterdir()}


def test_a_data_folder_that_cannot_be_is_told_in_one_line(gateway: Gateway, tmp_path: Path) -> None:
    gateway.environment["SUNDBRO_DATA"], before = written(tmp_path, "file", b""), gateway.environment["SUNDBRO_DATA"]
    try:
        for verb in ("up", "demo", "doctor"):
            told = gateway.run(verb)
            assert told.returncode in {1, 2}
            assert "Traceback" not in told.stderr
            assert "cannot be used" in told.stderr + told.stdout
    finally:
        gateway.environment["SUNDBRO_DATA"] = before


def test_a_demo_without_a_rate_is_refused(gateway: Gateway) -> None:
    assert gateway.run("demo", "--rate", "0").returncode == 2
