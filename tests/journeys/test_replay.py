"""A mapping is mended afterwards: replay shows what would change, does it, and then finds nothing more to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.gateway import ROOT, Gateway
from tests.messages import People, reading

TYPES = "https://vendor.example/types"
FEED = (ROOT / "adapters/home_readings/feed.toml").read_text("utf-8")
MENDED = FEED.replace("decimal_comma = false", "decimal_comma = true").replace(
    "[systems]\n", f'[systems]\ntype = "{TYPES}"\n'
)
NOTHING: dict[str, list[Any]] = {"added": [], "changed": [], "gone": [], "accepted": [], "refused": []}


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Gateway]:
    with Gateway(tmp_path) as running:
        yield running


def replay(gateway: Gateway, *options: str) -> dict[str, Any]:
    return dict(json.loads(gateway.command("replay", "home", "--json", *options)))


def differences(told: dict[str, Any]) -> dict[str, list[Any]]:
    return {name: told[name] for name in NOTHING}


def observation(outcome: dict[str, Any]) -> str:
    return next(str(name) for name in outcome["resources"] if name.startswith("Observation/"))


def explained(gateway: Gateway, outcome: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(gateway.command("explain", observation(outcome), "--json")))


def published(gateway: Gateway) -> set[str]:
    gateway.drained()
    records = gateway.records(["fhir.Observation"])
    return {value.decode() for one in records for name, value in one.record.headers if name == "ce_id"}


def test_a_mended_feed_is_replayed_and_mended_back(alone: Gateway) -> None:
    assert (MENDED.count(TYPES), MENDED.count("decimal_comma = true")) == (1, 1)
    people = People(900)
    sent = alone.post("home", json.dumps(reading(people.one(), value=71)).encode()).json()
    good = {**alone.outcome(sent["status"]), **sent}
    comma = json.dumps(reading(people.one(), kind="temperature", unit="Cel", value="36,4")).encode()
    status = alone.post("home", comma).json()["status"]
    receipt = status.rpartition("/")[2]
    assert alone.outcome(status)["reasons"][0]["code"] == "value-invalid"
    assert differences(replay(alone, "--dry-run")) == NOTHING

    assert not explained(alone, good)["mapping_changed"]
    (alone.feeds / "home.toml").write_text(MENDED)
    assert explained(alone, good)["mapping_changed"]
    shown = replay(alone, "--dry-run")
    assert shown["accepted"] == [receipt]
    assert [(one["resource"], one["version"], one["elements"]) for one in shown["changed"]] == [
        (observation(good), 1, ["code"])
    ]
    assert {one["resource"].partition("/")[0] for one in shown["added"]} >= {"Observation", "Patient"}
    assert (shown["gone"], shown["refused"]) == ([], [])
    assert alone.outcome(status)["state"] == "rejected", "a dry run writes nothing"
    assert alone.get(f"/fhir/{observation(good)}").headers["etag"] == 'W/"1"'

    done = replay(alone)
    assert done["done"]["moved"] == 0
    accepted = alone.outcome(status)
    assert accepted["state"] == "stored"
    assert alone.get(f"/fhir/{observation(accepted)}").content.count(b'"value":36.4,') == 1
    now = alone.get(f"/fhir/{observation(good)}")
    assert now.headers["etag"] == 'W/"2"'
    assert TYPES in {coding["system"] for coding in now.json()["code"]["coding"]}
    assert not explained(alone, accepted)["mapping_changed"]
    assert alone.outcome(good["status"])["resources"] == good["resources"], "what did not differ is still its own"
    before = alone.get(f"/fhir/{observation(good)}/_history/1").json()
    assert TYPES not in {coding["system"] for coding in before["code"]["coding"]}
    assert alone.resources(f"Provenance?target={observation(accepted)}")
    assert {f"{observation(good)}/1", f"{observation(good)}/2", f"{observation(accepted)}/1"} <= published(alone)

    again = replay(alone, "--dry-run")
    assert differences(again) == NOTHING
    assert again["unchanged"] > 0
    assert replay(alone)["done"] == {"written": 0, "deleted": 0, "moved": 0, "messages": 0}

    alone.stop()
    alone.start()
    assert alone.sent("home", comma)["state"] == "duplicate"

    (alone.feeds / "home.toml").write_text(FEED)
    back = replay(alone)
    assert back["refused"] == [receipt]
    assert observation(accepted) in {one["resource"] for one in back["gone"]}
    assert alone.get(f"/fhir/{observation(accepted)}").status_code == 410
    assert alone.outcome(status)["state"] == "rejected"
    assert differences(replay(alone, "--dry-run")) == NOTHING
    assert all(one["difference"] == 0 for one in alone.sums().values())


def test_what_the_api_wrote_is_left_alone(alone: Gateway) -> None:
    people = People(910)
    mine, deleted, fed = (
        alone.sent("home", json.dumps(reading(people.one(), value=70 + n)).encode()) for n in range(3)
    )
    with alone.client() as client:
        written = client.get(f"/fhir/{observation(mine)}").json()
        written["note"] = [{"text": "seen"}]
        assert client.put(f"/fhir/{observation(mine)}", json=written).status_code == 200
        assert client.delete(f"/fhir/{observation(deleted)}").status_code == 204
    (alone.feeds / "home.toml").write_text(MENDED)
    done = replay(alone)
    assert [one["resource"] for one in done["changed"]] == [observation(fed)]
    assert (done["added"], done["left_alone"]) == ([], 2)
    assert alone.get(f"/fhir/{observation(mine)}").json()["note"] == [{"text": "seen"}]
    assert alone.get(f"/fhir/{observation(deleted)}").status_code == 410
    assert {f"{observation(mine)}/2", f"{observation(deleted)}/2"} <= published(alone)


def test_the_provenance_of_a_message_says_what_it_makes_now(alone: Gateway) -> None:
    """Also of one that makes less than before, and of one that is refused: nothing points at what is gone."""
    people = People(950)
    person = people.one()
    pulse, temperature = reading(person), reading(person, kind="temperature", unit="Cel", value="36,4")
    comma = json.dumps({**temperature, "patient": {"cpr": people.one().cpr}}).encode()
    for one in (pulse, temperature):
        del one["patient"]
    partly = alone.sent("home", json.dumps({"patient": {"cpr": person.cpr}, "readings": [pulse, temperature]}).encode())
    assert (partly["state"], len(partly["reasons"])) == ("stored", 1)
    assert alone.sent("home", comma)["state"] == "rejected"
    assert [(one["state"], one["resources"]) for one in alone.lines("rejected", "home")] == [
        ("rejected", []),
        ("stored", partly["resources"]),
    ]

    def pointed_at() -> dict[str, set[str]]:
        """Provenance id and version → its targets."""
        return {
            f"{one['id']}/{one['meta']['versionId']}": {target["reference"] for target in one["target"]}
            for one in alone.resources("Provenance")
        }

    ((own, before),) = pointed_at().items()
    own = own.removesuffix("/1")
    for version in (2, 4):
        (alone.feeds / "home.toml").write_text(FEED.replace("decimal_comma = false", "decimal_comma = true"))
        assert len(replay(alone)["accepted"]) == 1
        told = pointed_at()
        assert len(told.pop(f"{own}/{version}") - before) == 1
        ((other, targets),) = told.items()
        assert other.endswith(f"/{version - 1}")
        assert len([target for target in targets if target.startswith("Observation/")]) == 1
        (alone.feeds / "home.toml").write_text(FEED)
        assert len(replay(alone)["refused"]) == 1
        assert pointed_at() == {f"{own}/{version + 1}": before}
        assert alone.get(f"/fhir/Provenance/{other.partition('/')[0]}").status_code == 410
        assert differences(replay(alone, "--dry-run")) == NOTHING
