"""SMART Backend Services: what a signed assertion gets, and every one that gets nothing."""

from __future__ import annotations

import pytest

from tests.oauth.world import KEYS, claims


@pytest.mark.parametrize("algorithm", list(KEYS))
async def test_an_assertion_by_the_registered_algorithm_gets_a_token_that_holds(w, algorithm):
    name = f"system-{algorithm.lower()}"
    answer = await w.credentials(name, algorithm, scope="system/Observation.rs system/Condition.read")
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["scope"] == "system/Observation.rs system/Condition.read"
    assert (told["token_type"], told["expires_in"]) == ("Bearer", 300)
    assert "refresh_token" not in told
    assert answer.headers["cache-control"] == "no-store"
    principal = await w.holds(told["access_token"])
    assert principal.actor.client == name
    assert principal.actor.organisation == "325421000016001"
    assert claims(told["access_token"])["sub"] == name
