"""Whatever is done to a message: it becomes valid resources, or is rejected with reasons, and is never a bug."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.municipal_medcom import translate as municipal
from gateway.errors import Unprocessable
from gateway.fhir import xml as fhirxml
from gateway.fhir.validate import validate
from gateway.formats import json
from gateway.model import Translation
from tests.feeds.judge import judged
from tests.feeds.municipal_feed import feed, translated
from tests.feeds.municipal_samples import CITIZEN, messages

MESSAGES = messages()
BASES = ["hospital-notification-stor", "hospital-notification-mors", "homecare-observation-report-restricted"]
WRONG = [
    None,
    True,
    7,
    -1,
    "",
    " ",
    "${x}",
    "x" * 500,
    [],
    {},
    [None],
    {"reference": "x"},
    [[]],
    "2026-02-30T00:00:00Z",
    "\x00",
    "\ud7ff",
]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, item in value.items():
            yield from places(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from places(item, (*path, index))


PLACES = {name: list(places(MESSAGES[name])) for name in BASES}


def holds(made: Translation) -> None:
    """What is true of every translation."""
    assert bool(made.changes) != bool(made.reasons)
    assert [issue for change in made.changes for issue in validate(change.resource)] == []
    for reason in made.reasons:
        assert reason.at
        assert CITIZEN.cpr not in reason.at + reason.text
    assert (made.reply is None) == (made.reply_reused is None)
    for reply in (made.reply, made.reply_reused):
        read = fhirxml.loads if made.reply_content_type.endswith("xml") else json.loads
        assert reply is None or validate(read(reply)) == []
    if made.changes:
        assert made.reply is not None


def without(message: Any, path: tuple[Any, ...]) -> Any:
    made = holder = copy.deepcopy(message)
    for step in path[:-1]:
        holder = holder[step]
    del holder[path[-1]]
    return made


def replaced(message: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = holder = copy.deepcopy(message)
    for step in path[:-1]:
        holder = holder[step]
    holder[path[-1]] = value
    return made


@pytest.mark.parametrize("name", BASES)
def test_a_message_without_any_one_of_its_elements_is_taken_or_refused(name):
    outcomes = [translated(without(MESSAGES[name], path)) for path in PLACES[name]]
    for made in outcomes:
        holds(made)
    assert {bool(made.reasons) for made in outcomes} == {True, False}


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_a_message_with_anything_anywhere_is_taken_or_refused(data):
    name = data.draw(st.sampled_from(BASES))
    message = MESSAGES[name]
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(PLACES[name]))
        value = data.draw(
            st.sampled_from(WRONG) | st.text(max_size=20) | st.integers() | st.decimals(allow_nan=False, places=3)
        )
        try:
            message = replaced(message, path, value)
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took the place away
    try:
        body = json.dumps(message)
    except (TypeError, ValueError):
        return  # not JSON at all
    holds(translated(body))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_parts_of_two_messages_mixed_are_taken_or_refused(data):
    first, second = (copy.deepcopy(MESSAGES[data.draw(st.sampled_from(BASES))]) for _ in range(2))
    entries = [*first["entry"], *second["entry"]]
    first["entry"] = [first["entry"][0], *data.draw(st.lists(st.sampled_from(entries), max_size=12))]
    holds(translated(first))


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_a_message_damaged_on_its_way_is_taken_or_refused_at_the_door_or_later(data):
    message = MESSAGES[data.draw(st.sampled_from(BASES))]
    body = bytearray(data.draw(st.sampled_from([json.dumps(message), fhirxml.dumps(message)])))
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(body[: data.draw(st.integers(0, len(body)))]) if data.draw(st.booleans()) else bytes(body)
    try:
        pieces = municipal.split(cut, "application/fhir+json", feed())
    except Unprocessable:
        pieces = []
    for piece in pieces:
        holds(translated(piece.body))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=9),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(
                st.sampled_from(["entry", "resource", "resourceType", "id", "type", "identifier"]), inner, max_size=4
            )
        ),
    )
)
def test_any_json_is_refused_or_taken(value):
    body = json.dumps(value)
    with contextlib.suppress(Unprocessable):
        municipal.split(body, "application/json", feed())
    holds(translated(body))


def test_a_great_message_takes_the_time_of_its_size():
    message = copy.deepcopy(MESSAGES["homecare-observation-report"])
    observation = message["entry"][-1]
    report = message["entry"][2]["resource"]
    for number in range(900):
        one = copy.deepcopy(observation)
        one["fullUrl"] += f"-{number}"
        one["resource"]["id"] = f"o{number}"
        message["entry"].append(one)
        report["result"].append({"reference": f"Observation/o{number}"})
    made = translated(message)
    holds(made)
    assert len(made.changes) > 900


def test_acknowledgements_of_damaged_messages_keep_the_guide(tmp_path):
    """One start of the independent validator over the answer to every single-element loss of one message."""
    replies = {}
    for number, path in enumerate(PLACES[BASES[0]]):
        made = translated(without(MESSAGES[BASES[0]], path))
        if made.reply is not None and made.reasons:
            replies["+".join(sorted({reason.code.value + reason.at for reason in made.reasons}))] = (
                f"reply-{number}",
                made.reply,
            )
    assert len(replies) > 15
    assert judged(replies.values(), tmp_path, "medcom.fhir.dk.acknowledgement-2.0.3") == []


@pytest.mark.parametrize(
    ("kind", "element", "value"),
    [
        ("Organization", "identifier", [{"system": ["x"], "value": "1"}]),
        ("Organization", "identifier", None),
        ("Patient", "identifier", [{"system": ["x"], "value": "1"}]),
        ("Observation", "code", {"coding": 7}),
    ],
)
def test_what_the_sender_made_invalid_is_its_fault_at_its_place_wherever_it_trips_us(
    kind: str, element: str, value: Any
) -> None:
    message = copy.deepcopy(MESSAGES["homecare-observation-report-restricted"])
    for entry in message["entry"]:
        if entry["resource"]["resourceType"] == kind:
            entry["resource"][element] = value
    made = translated(message)
    assert made.reasons
    assert any(f".resource.{element}" in reason.at for reason in made.reasons)
    holds(made)
    if kind != "Organization":  # without one nobody could be answered
        assert made.reply is not None
        header = json.loads(made.reply)["entry"][0]["resource"]
        assert header["response"]["code"] == "fatal-error"
