"""After everything that the other journeys did: a replay with the mapping unchanged finds nothing to do. Runs last."""

from __future__ import annotations

import json

import pytest

from tests.gateway import FEEDS, Gateway
from tests.messages import Person, adt, notification, reading


@pytest.mark.parametrize("feed", FEEDS)
def test_a_replay_of_an_unchanged_feed_changes_nothing(gateway: Gateway, person: Person, feed: str) -> None:
    gateway.sent("home", json.dumps(reading(person)).encode())
    gateway.sent("hospital", adt(person, f"u-{person.cpr}"), "application/hl7-v2")
    gateway.sent("municipal", notification(person), "application/fhir+json")
    told = json.loads(gateway.command("replay", feed, "--dry-run", "--json"))
    assert told["messages"] > 0
    assert told["unchanged"] > 0
    assert {name: told[name] for name in ("added", "changed", "gone", "accepted", "refused", "lost", "left_alone")} == {
        "added": [], "changed": [], "gone": [], "accepted": [], "refused": [], "lost": 0, "left_alone": 0,
    }  # fmt: skip
