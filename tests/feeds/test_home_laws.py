"""Laws under damage: whatever a sender posts, the home feed answers with valid resources and reasons, never an exception."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import HealthCheck, given, settings

from adapters.home_readings import translate as home
from gateway.errors import Incorrect, Unprocessable
from gateway.fhir.validate import validate
from gateway.formats import json
from tests.feeds.home_feed import SAMPLES, context, feed, raw, reading, refused, translated

CONTEXT = context()
DOCUMENTS = [json.loads(path.read_bytes()) for path in sorted(SAMPLES.glob("*.json")) if "expected" not in path.name]
JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.decimals(-1000, 1000, places=3)
    | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a document."""
    found: list[tuple[Any, Any]] = []
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        found.append((node, key))
        found += places(value)
    return found


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A sample with up to three of its values replaced, moved away or doubled."""
    document = json.loads(json.dumps(draw(st.sampled_from(DOCUMENTS))))
    for _ in range(draw(st.integers(1, 3))):
        spots = places(document)
        if not spots:
            break
        container, key = spots[draw(st.integers(0, len(spots) - 1))]
        match draw(st.sampled_from(["replace", "delete", "swap", "double"])):
            case "replace":
                container[key] = draw(JUNK)
            case "delete":
                del container[key]
            case "swap":
                other, place = spots[draw(st.integers(0, len(spots) - 1))]
                container[key] = json.loads(json.dumps(other[place]))
            case "double":
                container[key] = [container[key], container[key]]
    return json.dumps(document)


def keeps_the_contract(body: bytes) -> None:
    try:
        pieces = home.split(body, "application/json", feed())
    except Unprocessable:
        pieces = []
    translation = home.translate(raw(body), CONTEXT)
    again = home.translate(raw(body), CONTEXT)
    assert translation == again
    assert translation.changes or translation.reasons
    for change in translation.changes:
        assert validate(change.resource) == [], change.resource["resourceType"]
        if change.resource["resourceType"] in {"Patient", "Observation"} and change.lane is None:
            assert not str(change.resource.get("subject", {}).get("reference", "")).startswith("Patient/")
    ours = {f"{change.resource['resourceType']}/{change.resource['id']}" for change in translation.changes}
    for change in translation.changes:
        for container, key in places(change.resource):
            if key == "reference" and isinstance(container[key], str) and not container[key].startswith("#"):
                assert container[key] in ours
    assert len(pieces) <= 1


@given(damaged())
@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_damaged_message_becomes_valid_resources_and_reasons(body):
    keeps_the_contract(body)


@given(JUNK.map(json.dumps) | st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_junk_becomes_reasons(body):
    keeps_the_contract(body)


@given(st.sampled_from(DOCUMENTS), st.data())
@settings(max_examples=100, deadline=None)
def test_a_message_cut_short_is_malformed_or_refused_at_the_door(document, data):
    body = json.dumps(document)
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    translation = home.translate(raw(cut), CONTEXT)
    assert [reason.code.value for reason in translation.reasons] == ["malformed"]
    try:
        json.loads(cut)
    except Incorrect:
        return
    raise AssertionError("a cut document was readable")


def test_a_fraction_with_more_digits_than_arithmetic_keeps_is_implausible_and_no_bug() -> None:
    made = translated(reading("saturation", 10**30, ""))
    assert [code for code, _ in refused(made)] == ["implausible"]
